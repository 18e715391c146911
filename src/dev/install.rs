//! What to type to get a PostgreSQL, for whoever has none.

/// How to install PostgreSQL on the systems that most people use.
pub(super) fn hint() -> &'static str {
    "Install it (the server is enough; it need not be configured or running):\n\
     \x20 Debian, Ubuntu  sudo apt-get install postgresql\n\
     \x20 Fedora          sudo dnf install postgresql-server\n\
     \x20 Alpine          sudo apk add postgresql postgresql-client\n\
     \x20 macOS           brew install postgresql@17\n\
     or run deploy/install-postgres.sh, which does that for you.\n\
     If it is installed in an unusual place: CREDITGATE_PG_BINDIR=/path/to/its/bin"
}
