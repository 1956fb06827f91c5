#!/usr/bin/python3
"""tests/receiver.py http|smtp DIR [options]: a real server on 127.0.0.1 for alerts.

DIR/port gets the port once it listens. Every message becomes one line of JSON in
DIR/messages; of HTTP {"path", "authorization", "type", "body"}, of SMTP {"from", "to",
"user", "tls", "data"}.
"""
import argparse
import http.server
import json
import os
import ssl
import threading
import time


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("kind", choices=["http", "smtp"])
    parser.add_argument("dir")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--cert")
    parser.add_argument("--key")
    parser.add_argument("--refuse", type=int, default=0, help="so many at first")
    parser.add_argument("--status", type=int, default=503, help="of a refusal")
    parser.add_argument("--hang", action="store_true", help="never answer")
    parser.add_argument("--starttls", action="store_true")
    parser.add_argument("--user")
    parser.add_argument("--password")
    return parser.parse_args()


options = arguments()
lock = threading.Lock()
seen = 0


def note(message):
    with lock, open(os.path.join(options.dir, "messages"), "a") as out:
        out.write(json.dumps(message) + "\n")


def tell_port(port):
    path = os.path.join(options.dir, "port")
    with open(path + ".new", "w") as out:
        out.write("%d\n" % port)
    os.rename(path + ".new", path)


def tls_context():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.cert, options.key)
    return context


class Receiver(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        global seen
        body = self.rfile.read(int(self.headers["Content-Length"]))
        with lock:
            seen += 1
            refused = seen <= options.refuse
        note({"path": self.path, "authorization": self.headers["Authorization"],
              "type": self.headers["Content-Type"], "refused": refused,
              "body": json.loads(body)})
        if options.hang:
            time.sleep(3600)
        self.send_response(options.status if refused else 204)
        self.end_headers()

    def log_message(self, *_):
        pass


def serve_http():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", options.port), Receiver)
    if options.cert:
        server.socket = tls_context().wrap_socket(server.socket, server_side=True)
    tell_port(server.server_address[1])
    server.serve_forever()


def serve_smtp():
    import asyncio

    from aiosmtpd.smtp import SMTP, AuthResult

    class Mailbox:
        async def handle_DATA(self, server, session, envelope):
            global seen
            seen += 1
            if seen <= options.refuse:
                return "451 later"
            login = session.auth_data
            note({"from": envelope.mail_from, "to": envelope.rcpt_tos,
                  "user": login.decode() if login else None,
                  "tls": session.ssl is not None or bool(options.cert
                                                         and not options.starttls),
                  "data": envelope.content.decode()})
            return "250 kept"

    def authenticate(_server, _session, _envelope, _mechanism, login):
        good = (login.login == options.user.encode()
                and login.password == options.password.encode())
        return AuthResult(success=good, handled=False, auth_data=login.login)

    def make():
        return SMTP(Mailbox(), hostname="127.0.0.1",
                    tls_context=tls_context() if options.starttls else None,
                    require_starttls=options.starttls,
                    authenticator=authenticate if options.user else None,
                    auth_required=bool(options.user),
                    auth_require_tls=options.starttls)

    async def serve():
        implicit = tls_context() if options.cert and not options.starttls else None
        server = await asyncio.get_running_loop().create_server(
            make, "127.0.0.1", options.port, ssl=implicit)
        tell_port(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(serve())


if __name__ == "__main__":
    serve_http() if options.kind == "http" else serve_smtp()
