"""Dependencies of the route handlers: the use cases, injected as `app`."""

import msgspec
from litestar.di import NamedDependency
from litestar.params import SkipValidation

from service.api.http.auth import AuthOptions
from service.api.http.rate_limit import RateLimit
from service.usecases.accounts import Accounts
from service.usecases.api_keys import ApiKeys
from service.usecases.audit import Audit
from service.usecases.batches import Batches
from service.usecases.credential_cache import CredentialCache
from service.usecases.deliveries import DeadDeliveries
from service.usecases.direct_uploads import DirectUploads
from service.usecases.erasures import ErasureRequests
from service.usecases.exports import Exports
from service.usecases.feed import Feed
from service.usecases.forwards import Forwards
from service.usecases.greetings import Greetings
from service.usecases.holds import Holds
from service.usecases.mail_consents import MailConsents
from service.usecases.message_lists import MessageLists
from service.usecases.messages import Messages
from service.usecases.pin_check import PinChecks
from service.usecases.recipients import Recipients
from service.usecases.recording_links import RecordingLinks
from service.usecases.recordings import Recordings
from service.usecases.relay_wakeup import RelayWakeup
from service.usecases.renditions import Renditions
from service.usecases.retention import RetentionLookup
from service.usecases.retention_preview import RetentionPreviews
from service.usecases.searches import Searches
from service.usecases.slots import StreamSlots
from service.usecases.transcriptions import Transcriptions
from service.usecases.transfers import Transfers
from service.usecases.trash import Trash
from service.usecases.users import Users
from service.usecases.vmbox_trash import VmboxTrash
from service.usecases.vmboxes import Vmboxes
from service.usecases.waveforms import Waveforms
from service.usecases.webhooks import Webhooks


class UseCases(msgspec.Struct, frozen=True, kw_only=True):
    """One dependency with all use cases. Litestar starts a task for each dependency.

    `public_url` is the URL of the API in links. If it is empty, the host of the request is used.
    `kazoo_neighbours` enables the stubs of KAZOO's other resources.
    `has_web_inbox` enables the page `/inbox`.
    `redirect_audio` redirects downloads to the audio store by default.
    `strict_metadata` refuses too long metadata of a new message instead of cutting it.
    """

    accounts: Accounts
    api_keys: ApiKeys
    users: Users
    credentials: CredentialCache
    vmboxes: Vmboxes
    recipients: Recipients
    mail_consents: MailConsents
    messages: Messages
    direct_uploads: DirectUploads
    dead_deliveries: DeadDeliveries
    message_lists: MessageLists
    searches: Searches
    pin_checks: PinChecks
    recordings: Recordings
    recording_links: RecordingLinks
    renditions: Renditions
    waveforms: Waveforms
    transcriptions: Transcriptions
    forwards: Forwards
    greetings: Greetings
    webhooks: Webhooks
    holds: Holds
    erasures: ErasureRequests
    exports: Exports
    batches: Batches
    retention: RetentionLookup
    retention_previews: RetentionPreviews
    transfers: Transfers
    trash: Trash
    vmbox_trash: VmboxTrash
    feed: Feed
    audit: Audit
    relay_wakeup: RelayWakeup
    auth_options: AuthOptions
    rate_limit: RateLimit
    public_url: str
    kazoo_neighbours: bool
    has_web_inbox: bool
    redirect_audio: bool
    strict_metadata: bool
    stream_slots: StreamSlots


App = NamedDependency[SkipValidation[UseCases]]
