"""Channel: a mail, through a server that takes it with STARTTLS (port 587) or TLS (port 465)."""

from __future__ import annotations

import contextlib
import smtplib
import ssl
from collections.abc import Iterator, Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid, parseaddr

from runner.core.text import plain
from runner.notify import web
from runner.notify.message import Message
from runner.notify.registry import NotSent

STARTTLS, TLS, NONE = SECURITY = ("starttls", "tls", "none")
ATTACHED = "report.html"
PORTS = {STARTTLS: "587", TLS: "465", NONE: "25"}


class Mail:
    REQUIRED = ("to", "host")
    OPTIONAL = ("from", "port", "user", "password", "security", "report")

    def __init__(self, values: Mapping[str, str]) -> None:
        self._to = values["to"]
        self._from = values.get("from", values["to"])
        self._host = values["host"]
        self._security = values.get("security", STARTTLS)
        self._port = values.get("port", PORTS.get(self._security, ""))
        self._attach = values.get("report", "false")
        self._user, self._password = values.get("user"), values.get("password")

    def problems(self) -> Iterator[tuple[str, str]]:
        for name, address in (("to", self._to), ("from", self._from)):
            if "@" not in parseaddr(address)[1] or plain(address) != address:
                yield name, "is not a mail address"
        if self._security not in SECURITY:
            yield "security", f"is none of {', '.join(SECURITY)}"
        if self._security == NONE and not web.is_loopback(self._host):
            yield "security", "none is for a mail server on this machine alone; use starttls or tls"
        if self._attach not in ("true", "false"):
            yield "report", "is neither true nor false"
        if not self._port.isdecimal() or not 0 < int(self._port) < 1 << 16:
            yield "port", "is not the number of a port"
        if (self._user is None) != (self._password is None):
            yield ("password" if self._password is None else "user"), "is missing; user and password go together"

    @property
    def attaches(self) -> bool:
        """Whether the last message of a batch has its report."""
        return self._attach == "true"

    def send(self, message: Message, seconds: float) -> None:
        try:
            server = self._connected(seconds)
            try:
                if self._user is not None and self._password is not None:
                    server.login(self._user, self._password)
                server.send_message(self._written(message))
                with contextlib.suppress(OSError):  # it is delivered, whatever the server says to a good-bye
                    server.quit()
            finally:
                server.close()
        except smtplib.SMTPAuthenticationError as error:
            raise NotSent(f"{self._host} refused the login ({error.smtp_code}); check user and password") from None
        except smtplib.SMTPNotSupportedError:
            cause = f"{self._host} does not offer what is needed on port {self._port}"
            raise NotSent(f"{cause}; try port 587, or security = tls with 465") from None
        except smtplib.SMTPRecipientsRefused:
            raise NotSent(f"{self._host} refused the recipient; check to") from None
        except smtplib.SMTPResponseException as error:
            raise NotSent(f"{self._host} answered {error.smtp_code}", again=error.smtp_code < 500) from None
        except smtplib.SMTPServerDisconnected:
            raise NotSent(f"{self._host} closed the connection; check port and security", again=True) from None
        except (OSError, smtplib.SMTPException) as error:
            raise web.unreachable(error, self._host, seconds) from None

    def _connected(self, seconds: float) -> smtplib.SMTP:
        if self._security == TLS:
            context = ssl.create_default_context()
            return smtplib.SMTP_SSL(self._host, int(self._port), timeout=seconds, context=context)
        server = smtplib.SMTP(self._host, int(self._port), timeout=seconds)
        if self._security == STARTTLS:
            server.starttls(context=ssl.create_default_context())
        return server

    def _written(self, message: Message) -> EmailMessage:
        mail = EmailMessage()
        mail["Subject"] = message.title
        mail["To"], mail["From"] = self._to, self._from
        mail["Date"], mail["Message-ID"] = formatdate(), make_msgid(domain="overnight.invalid")
        mail["Auto-Submitted"] = "auto-generated"  # out-of-office programs do not answer it
        mail.set_content(message.text + "\n")
        if message.report is not None:
            mail.add_attachment(
                message.report, maintype="text", subtype="html", filename=ATTACHED, params={"charset": "utf-8"}
            )
        return mail
