//! Compiles `proto/` with protox, a protobuf compiler written in Rust: no
//! `protoc` has to be installed.

use std::{env, error::Error, fs, path::PathBuf};

use protox::prost::Message;

/// The contract's files, relative to `proto/`.
const PROTOS: [&str; 7] = [
    "creditgate/v1/access.proto",
    "creditgate/v1/gate.proto",
    "creditgate/v1/ledger.proto",
    "creditgate/v1/billing.proto",
    "creditgate/v1/catalog.proto",
    "creditgate/v1/event.proto",
    "creditgate/v1/delivery.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo:rerun-if-changed=proto");
    // sqlx::migrate! embeds these: a new file must rebuild the crate.
    println!("cargo:rerun-if-changed=migrations");
    let descriptors = protox::compile(PROTOS, ["proto"])?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("descriptors.bin"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        // Maps are shown and compared: a stable order costs nothing here.
        .btree_map(".")
        // A key must not show where a message is logged.
        .skip_debug([
            ".creditgate.v1.CreateKeyResponse",
            ".creditgate.v1.RotateKeyResponse",
            ".creditgate.v1.CreateEndpointResponse",
            ".creditgate.v1.RotateEndpointSecretResponse",
        ])
        .compile_fds(descriptors)?;
    Ok(())
}
