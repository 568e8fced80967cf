"""Pages of the links in mails: `/v2/mail/confirm/{token}` and `/v2/mail/unsubscribe/{token}`.

A GET changes nothing, because mail scanners follow links. The button of the page sends the POST.
"""

from html import escape

from litestar import Response, post, route

from service.api.dependencies import App, UseCases
from service.domain.recipient import Consent

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
    "Cache-Control": "no-store",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "X-Robots-Tag": "noindex",
}
_PAGE = """\
<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>body {{ font: 1rem/1.5 sans-serif; margin: 4rem auto; max-width: 32rem }}</style>
</head>
<body>
<h1>{title}</h1>
<p>{text}</p>
{form}
</body>
</html>
"""
_BUTTON = '<form method="post"><button type="submit">{}</button></form>'
_CONFIRM = "/v2/mail/confirm/{recipient_token:str}"
_UNSUBSCRIBE = "/v2/mail/unsubscribe/{recipient_token:str}"


@route(_CONFIRM, http_method=["GET", "HEAD"])
async def show_confirmation(recipient_token: str, app: App) -> Response[str]:
    """Shows the page that allows mails."""
    address = _address_of(app, recipient_token)
    text = f"Voicemail messages will be mailed to {address}."
    return _respond("Confirm your address", text, _BUTTON.format("Confirm"))


@route(_UNSUBSCRIBE, http_method=["GET", "HEAD"])
async def show_unsubscription(recipient_token: str, app: App) -> Response[str]:
    """Shows the page that stops mails."""
    address = _address_of(app, recipient_token)
    text = f"No more voicemail messages will be mailed to {address}."
    return _respond("Unsubscribe", text, _BUTTON.format("Unsubscribe"))


@post(_CONFIRM, status_code=200)
async def confirm(recipient_token: str, app: App) -> Response[str]:
    """Allows mails to the address of the link."""
    await app.mail_consents.set(recipient_token, Consent.CONFIRMED)
    return _respond("Confirmed", "Voicemail messages will be mailed to this address.")


@post(_UNSUBSCRIBE, status_code=200)
async def unsubscribe(recipient_token: str, app: App) -> Response[str]:
    """Stops mails to the address of the link, as RFC 8058 defines. The body is not read."""
    await app.mail_consents.set(recipient_token, Consent.UNSUBSCRIBED)
    again = f'<p><a href="../confirm/{recipient_token}">Subscribe again</a></p>'
    return _respond("Unsubscribed", "No more voicemail messages will be mailed.", again)


def _address_of(app: UseCases, recipient_token: str) -> str:
    return escape(app.mail_consents.address_of(recipient_token))


def _respond(title: str, text: str, form: str = "") -> Response[str]:
    content = _PAGE.format(title=title, text=text, form=form)
    return Response(content, media_type="text/html; charset=utf-8", headers=_HEADERS)


ROUTES = (show_confirmation, show_unsubscription, confirm, unsubscribe)
