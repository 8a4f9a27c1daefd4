"""What gunicorn serves: one line. Each worker says that it is there."""

import os


def application(_, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"idle\n"]


os.write(1, f"target {os.getpid()}\n".encode())
