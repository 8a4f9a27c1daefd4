"""A gRPC client that calls a server, forks, and calls it again in the child: grpc_channel.py
CHANNEL METHOD FOLDER. CHANNEL is same (the parent's, inherited) or own (the child makes one). The
server is a process of its own, started before. The child prints "target PID" first and "done" at
the end.
"""

import concurrent.futures
import multiprocessing
import os
import sys

import grpc

CHANNEL = None


class Echo(grpc.GenericRpcHandler):
    def service(self, _):
        return grpc.unary_unary_rpc_method_handler(lambda request, _: request)


def serve(address, ready):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=(Echo(),))
    server.add_insecure_port(address)
    server.start()
    ready.send(True)
    ready.recv()  # until its parent ends


def call(channel):
    return channel.unary_unary("/test.Echo/Echo")(b"row", wait_for_ready=True)


def child(which, address):
    os.write(1, f"target {os.getpid()}\n".encode())
    call(CHANNEL if which == "same" else grpc.insecure_channel(address))
    os.write(1, b"done\n")
    os._exit(0)


def main(which, method, folder):
    global CHANNEL
    address = f"unix:{folder}/socket"
    spawn = multiprocessing.get_context("spawn")
    ours, theirs = spawn.Pipe()
    server = spawn.Process(target=serve, args=(address, theirs), daemon=True)
    server.start()
    ours.recv()
    CHANNEL = grpc.insecure_channel(address)
    call(CHANNEL)
    process = multiprocessing.get_context(method).Process(target=child, args=(which, address))
    process.start()
    process.join()
    server.kill()
    sys.stdout.flush()
    os._exit(process.exitcode)


if __name__ == "__main__":
    main(*sys.argv[1:])
