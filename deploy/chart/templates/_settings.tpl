{{/*
Groups of settings, as in deploy/SETTINGS.md. A process receives the groups that it needs, see
`aftertone.processes`. `aftertone.env` adds the settings that are Secrets, files or ports.
*/}}
{{- define "aftertone.groups" -}}
postgres: [database_pooler, database_pool_size, database_timeout_s]
nats: [nats_url, nats_ca_file, nats_certificate_file, nats_key_file, stream_name, stream_max_bytes, stream_replicas]
s3:
  - s3_endpoint
  - s3_public_endpoint
  - s3_bucket
  - s3_region
  - s3_addressing_style
  - s3_sse
  - s3_sse_kms_key_id
  - s3_pool_size
  - s3_connect_timeout_s
  - s3_timeout_s
http:
  - public_url
  - redirect_audio
  - kazoo_neighbours
  - web_inbox
  - client_grace_s
  - max_connections
  - max_connections_per_peer
  - trusted_proxies
  - request_deadline_s
  - max_streams
  - max_streams_per_account
  - max_streams_per_token
  - rate_limit_per_s
  - rate_limit_burst
quotas: [quota_boxes, quota_users, quota_webhooks, quota_api_keys, quota_stored_bytes, quota_rendition_bytes]
uploads:
  - audio_cache_mb
  - max_upload_bytes
  - max_direct_upload_bytes
  - max_uploads_in_flight
  - max_uploads_per_account
  - min_upload_bytes_per_s
  - strict_metadata
conversion:
  - conversion_processes
  - conversion_queue
  - conversion_memory_mb
  - conversion_cpu_s
  - conversion_timeout_s
  - conversion_output_mb
  - conversion_jobs_per_process
sign_in:
  - token_lifetime_s
  - sign_in_threads
  - password_min_length
  - sign_in_max_failures
  - sign_in_max_failures_per_account
  - sign_in_max_failures_per_peer
  - sign_in_lock_s
  - tokens_in_query
  - user_access
  - issuer_url
  - issuer_jwks_url
  - issuer_allow_http
  - issuer_audience
  - issuer_account_claim
  - issuer_max_lifetime_s
retention:
  - retention_days
  - deleted_retention_days
  - backup_retention_days
  - purge_grace_days
  - kept_mail_folder
  - orphan_grace_hours
  - audit_days
  - oldest_month
relay: [relay_shards]
notifiers: [notifier_retries_s, notifier_ack_wait_s, notifier_lease_margin_s]
email:
  - smtp_timeout_s
  - smtp_ca_file
  - smtp_hostname
  - email_sender
  - email_from_domains
  - email_link_days
  - email_confirm_recipients
  - email_rate_per_hour
  - email_templates_folder
  - email_transcription_wait_s
  - email_concurrency
webhooks:
  - webhook_allow_private
  - webhook_allow_http
  - webhook_timeout_s
  - webhook_connect_timeout_s
  - webhook_concurrency
transcription:
  - transcription_engine
  - transcription_url
  - transcription_model
  - transcription_download_folder
  - transcription_workers
  - transcription_memory_mb
  - transcription_language
  - transcription_timeout_s
  - transcription_concurrency
callbacks: [callback_number_pattern]
lamps: [lamp_bucket, ari_url, ari_user, ari_context, ari_timeout_s]
operations: [stop_timeout_s, traces_endpoint, traces_sample_ratio, log_level, log_format]
{{- end }}

{{/*
Processes, with the groups of settings and the Secrets that each needs (`database`, `pooled` and
`standby` for its variants, `owner`,
`key_ring`, `notifier_key_ring`; the Secrets of nats, s3, email, lamps and transcription belong to their groups). A process
receives nothing else: the API no NATS URL, and only keeper and migration the URL of the owner.
*/}}
{{- define "aftertone.processes" -}}
api:
  args: [api]
  needs: [database, pooled, standby, key_ring, postgres, s3, http, uploads, conversion, quotas, sign_in, retention, webhooks, callbacks, operations]
relay:
  args: [relay]
  needs: [database, postgres, nats, relay, operations]
email:
  args: [notifier, email]
  needs: [database, pooled, notifier_key_ring, postgres, nats, s3, http, conversion, quotas, retention, notifiers, email, operations]
webhook:
  args: [notifier, webhook]
  needs: [database, pooled, notifier_key_ring, postgres, nats, notifiers, webhooks, operations]
mwi:
  args: [notifier, mwi]
  needs: [database, pooled, postgres, nats, notifiers, lamps, operations]
callback:
  args: [notifier, callback]
  needs: [database, pooled, postgres, nats, notifiers, callbacks, operations]
transcription:
  args: [notifier, transcription]
  needs: [database, pooled, postgres, nats, s3, notifiers, transcription, operations]
media:
  args: [notifier, media]
  needs: [database, pooled, postgres, nats, s3, notifiers, conversion, operations]
keeper:
  args: [keeper, --once, all]
  needs: [owner, postgres, nats, s3, retention, operations]
migrate:
  args: [migrate]
  needs: [owner, database, postgres, retention, operations]
{{- end }}

{{/* Secret with the key ring of a process, or nothing: {root, process}. */}}
{{- define "aftertone.keyRing" -}}
{{- $needs := (get (include "aftertone.processes" . | fromYaml) .process).needs }}
{{- if has "key_ring" $needs }}{{ toYaml .root.Values.secrets.keyRing }}
{{- else if has "notifier_key_ring" $needs }}{{ toYaml .root.Values.secrets.notifierKeyRing }}
{{- end }}
{{- end }}

{{/* Value of an environment variable: large numbers have no exponent. */}}
{{- define "aftertone.text" -}}
{{- if and (kindIs "float64" .) (eq (floor .) .) }}{{ printf "%.0f" . }}{{ else }}{{ . }}{{ end }}
{{- end }}

{{- define "aftertone.fromSecret" -}}
- name: {{ .name }}
  valueFrom:
    secretKeyRef: {name: {{ .secret | quote }}, key: {{ .key | quote }}}
{{- end }}

{{/* Networks of proxies inside the cluster: private and shared addresses. */}}
{{- define "aftertone.privateNetworks" -}}
10.0.0.0/8,100.64.0.0/10,172.16.0.0/12,192.168.0.0/16,fc00::/7
{{- end }}

{{/* Environment of a process: {root, process}. With an Ingress, the proxies have private addresses unless set otherwise. */}}
{{- define "aftertone.env" -}}
{{- $values := .root.Values }}
{{- $settings := $values.settings }}
{{- if and $values.ingress.enabled (not (hasKey $settings "trusted_proxies")) }}
{{- $settings = merge (dict "trusted_proxies" (include "aftertone.privateNetworks" .)) $settings }}
{{- end }}
{{- $secrets := $values.secrets }}
{{- $needs := (get (include "aftertone.processes" . | fromYaml) .process).needs }}
{{- if has "database" $needs }}
{{- $database := ternary $secrets.pooledDatabase $secrets.database (and (has "pooled" $needs) (ne $secrets.pooledDatabase.name "")) }}
{{ include "aftertone.fromSecret" (dict "name" "AFTERTONE_DATABASE_URL" "secret" $database.name "key" $database.key) }}
{{- end }}
{{- if and (has "standby" $needs) $secrets.readDatabase.name }}
{{ include "aftertone.fromSecret" (dict "name" "AFTERTONE_READ_DATABASE_URL" "secret" $secrets.readDatabase.name "key" $secrets.readDatabase.key) }}
{{- end }}
{{- if has "owner" $needs }}
{{ include "aftertone.fromSecret" (dict "name" "AFTERTONE_OWNER_DATABASE_URL" "secret" $secrets.ownerDatabase.name "key" $secrets.ownerDatabase.key) }}
{{- end }}
{{- with include "aftertone.keyRing" . | fromYaml }}
- name: AFTERTONE_KEY_RING_FILE
  value: {{ printf "/etc/aftertone/key-ring/%s" .key }}
{{- end }}
{{- if and (has "nats" $needs) $secrets.nats.name }}
{{ include "aftertone.fromSecret" (dict "name" "AFTERTONE_NATS_URL" "secret" $secrets.nats.name "key" $secrets.nats.key) }}
{{- end }}
{{- if and (has "nats" $needs) $secrets.natsCredentials.name }}
- name: AFTERTONE_NATS_CREDENTIALS_FILE
  value: {{ printf "/etc/aftertone/nats/%s" $secrets.natsCredentials.key }}
{{- end }}
{{- if and (has "s3" $needs) $secrets.s3.name }}
{{ include "aftertone.fromSecret" (dict "name" "AWS_ACCESS_KEY_ID" "secret" $secrets.s3.name "key" $secrets.s3.accessKeyIdKey) }}
{{ include "aftertone.fromSecret" (dict "name" "AWS_SECRET_ACCESS_KEY" "secret" $secrets.s3.name "key" $secrets.s3.secretAccessKeyKey) }}
{{- end }}
{{- if has "email" $needs }}
{{ include "aftertone.fromSecret" (dict "name" "AFTERTONE_SMTP_URL" "secret" $secrets.smtp.name "key" $secrets.smtp.key) }}
{{- end }}
{{- if and (has "lamps" $needs) $secrets.ari.name }}
{{ include "aftertone.fromSecret" (dict "name" "AFTERTONE_ARI_PASSWORD" "secret" $secrets.ari.name "key" $secrets.ari.key) }}
{{- end }}
{{- if and (has "transcription" $needs) $secrets.transcription.name }}
{{ include "aftertone.fromSecret" (dict "name" "AFTERTONE_TRANSCRIPTION_KEY" "secret" $secrets.transcription.name "key" $secrets.transcription.key) }}
{{- end }}
{{- range $group, $names := include "aftertone.groups" . | fromYaml }}
{{- if has $group $needs }}
{{- range $name := $names }}
{{- if and (hasKey $settings $name) (not (and (eq $name "nats_url") $secrets.nats.name)) }}
- name: {{ printf "AFTERTONE_%s" (upper $name) }}
  value: {{ include "aftertone.text" (get $settings $name) | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
