"""What a walk through the contract is made of: stubs from proto/, and checks of answers."""

import importlib
import pathlib
import sys

import grpc
import grpc_tools
from google.rpc import error_details_pb2
from grpc_status import rpc_status
from grpc_tools import protoc

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"
FILES = ["gate", "ledger", "billing", "catalog", "event"]
# How long a call may take, in seconds: none waits for anything.
PATIENCE = 10


def stubs(directory):
    """Makes and imports the modules of the contract: `pb.gate`, `rpc.gate` and so on."""
    sources = [f"creditgate/v1/{name}.proto" for name in FILES]
    known_types = pathlib.Path(grpc_tools.__file__).parent / "_proto"
    code = protoc.main(
        [
            "protoc",
            f"-I{PROTO}",
            f"-I{known_types}",
            f"--python_out={directory}",
            f"--grpc_python_out={directory}",
            *sources,
        ]
    )
    assert code == 0, f"protoc ended with {code}"
    sys.path.insert(0, directory)
    load = importlib.import_module
    pb = {name: load(f"creditgate.v1.{name}_pb2") for name in FILES}
    rpc = {name: load(f"creditgate.v1.{name}_pb2_grpc") for name in FILES}
    return pb, rpc


def refused(call, request):
    """Makes a call that has to fail; gives its code, and its details by type."""
    try:
        answer = call(request, timeout=PATIENCE)
    except grpc.RpcError as error:
        status = rpc_status.from_call(error)
        assert status is not None, f"no google.rpc.Status came with {error}"
        assert status.code == error.code().value[0], (status.code, error.code())
        assert status.message == error.details(), (status.message, error.details())
        details = {}
        for detail in status.details:
            known = getattr(error_details_pb2, detail.TypeName().rpartition(".")[2])()
            assert detail.Unpack(known), detail
            details[type(known)] = known
        return error.code(), details
    raise AssertionError(f"this call had to fail, and answered {answer}")


def same(got, **wanted):
    """Fields of a message, compared by name."""
    found = {name: getattr(got, name) for name in wanted}
    assert found == wanted, f"wanted {wanted}, got {found} in:\n{got}"


def done(step):
    """Tells that a step has passed."""
    print(f"ok  {step}", flush=True)
