//! A real PostgreSQL that the program manages itself, for development and trials.
//!
//! Binaries found on the machine, a data directory of its own, a unix socket and no TCP port:
//! nothing to configure and nothing that another program could collide with. It is not an
//! emulation, so what works here works on the database that you run in production.
//!
//! Reading order: [`postgres`] is the door and tells the whole story of a start. Behind it, one
//! idea a file: where things lie (`layout`, `socket_dir`), who owns them (`lock`, `run_as`), which
//! programs run (`binaries`, `install`, `tool`), the cluster on disk (`cluster`, `pid_file`,
//! `leftover`), and the running server (`server`, `shutdown`, `log_file`).
//!
//! Connections are trusted, whoever makes them, so who may connect is decided by the file system
//! alone: the socket lies in a directory that only the user who runs PostgreSQL may enter.

pub mod postgres;

mod binaries;
mod cluster;
mod error;
mod install;
mod layout;
mod leftover;
mod lock;
mod log_file;
mod pid_file;
mod run_as;
mod server;
mod shutdown;
mod socket_dir;
mod tool;

pub use error::DevError;
