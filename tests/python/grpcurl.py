"""What `grpcurl` does with the lines of README.md, where there is none: asks the server by
reflection what it serves, sends a request that is written as JSON, and prints the answers.

    .venv/bin/python tests/python/grpcurl.py -plaintext [-max-time SECONDS] -d JSON ADDRESS SERVICE/METHOD
"""

import sys

import grpc
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import (
    ProtoReflectionDescriptorDatabase,
)


def main():
    options, rest = {}, []
    arguments = iter(sys.argv[1:])
    for argument in arguments:
        if argument == "-plaintext":
            continue
        if argument in ("-d", "-max-time"):
            options[argument] = next(arguments)
        else:
            rest.append(argument)
    address, call = rest
    service, method = call.split("/")
    channel = grpc.insecure_channel(address)
    pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
    method = pool.FindServiceByName(service).FindMethodByName(method)
    request = json_format.Parse(options["-d"], GetMessageClass(method.input_type)())
    make = channel.unary_stream if method.server_streaming else channel.unary_unary
    invoke = make(
        f"/{call}",
        request_serializer=lambda message: message.SerializeToString(),
        response_deserializer=GetMessageClass(method.output_type).FromString,
    )
    timeout = float(options.get("-max-time", 20))
    try:
        answers = invoke(request, timeout=timeout)
        for answer in answers if method.server_streaming else [answers]:
            print(json_format.MessageToJson(answer), flush=True)
    except grpc.RpcError as error:
        sys.exit(f"ERROR:\n  Code: {error.code().name}\n  Message: {error.details()}")


main()
