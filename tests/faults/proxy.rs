//! The network between one replica and its database. It knows PostgreSQL's
//! protocol as far as to tell a COMMIT from other messages.
//!
//! Message formats: PostgreSQL's documentation, "Frontend/Backend Protocol".

use std::{
    net::SocketAddr,
    path::PathBuf,
    sync::{Arc, Mutex},
    time::Duration,
};

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, UnixStream, tcp, unix},
    sync::{mpsc, watch},
    time::{sleep, timeout},
};

/// How long the answer to a COMMIT that is to be lost is waited for.
const COMMIT_PATIENCE: Duration = Duration::from_secs(10);

/// What the network does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weather {
    /// Forwards.
    Fair,
    /// Forwards each packet so much later.
    Slow(Duration),
    /// Swallows everything, and says nothing.
    Silent,
}

/// What happens at the next COMMIT.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trap {
    /// It is carried out, and its answer is lost with the connection.
    LoseAnswer,
    /// It is carried out, and its answer is kept back for ever.
    KeepAnswer,
    /// It is not sent: the transaction is still open.
    Hold,
}

/// The network of one replica.
pub struct Proxy {
    /// Where the replica finds its database.
    pub address: SocketAddr,
    shared: Arc<Shared>,
    weather: watch::Sender<Weather>,
    /// Ends every connection when it moves on.
    cuts: watch::Sender<u64>,
}

struct Shared {
    /// The database's socket.
    target: Mutex<PathBuf>,
    trap: Mutex<Option<(Trap, mpsc::UnboundedSender<()>)>>,
}

impl Proxy {
    /// Before the database whose socket this is.
    pub async fn before(target: PathBuf) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let shared = Arc::new(Shared { target: Mutex::new(target), trap: Mutex::new(None) });
        let (weather, cuts) = (watch::Sender::new(Weather::Fair), watch::Sender::new(0));
        let (seen, ends, common) = (weather.clone(), cuts.clone(), shared.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let _ = client.set_nodelay(true);
                let (shared, weather, mut ends) =
                    (common.clone(), seen.subscribe(), ends.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        () = serve(client, shared, weather) => {}
                        _ = ends.changed() => {}
                    }
                });
            }
        });
        Self { address, shared, weather, cuts }
    }

    /// Connections made from now on go there.
    pub fn turn_to(&self, target: PathBuf) {
        *self.shared.target.lock().unwrap() = target;
    }

    pub fn set(&self, weather: Weather) {
        self.weather.send_replace(weather);
    }

    /// Ends all connections, with a word.
    pub fn cut(&self) {
        self.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Sets a trap for the next COMMIT. What comes back hears once it has been
    /// carried out, and nobody else has heard.
    pub fn set_trap(&self, trap: Trap) -> mpsc::UnboundedReceiver<()> {
        let (sprung, hears) = mpsc::unbounded_channel();
        *self.shared.trap.lock().unwrap() = Some((trap, sprung));
        hears
    }

    pub fn remove_trap(&self) {
        *self.shared.trap.lock().unwrap() = None;
    }
}

/// Forwards between a replica and its database, until either hangs up.
async fn serve(
    client: tokio::net::TcpStream,
    shared: Arc<Shared>,
    weather: watch::Receiver<Weather>,
) {
    let target = shared.target.lock().unwrap().clone();
    let Ok(server) = UnixStream::connect(target).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let (caught, catches) = watch::channel(None);
    tokio::select! {
        () = ask(from_client, to_server, &shared, weather.clone(), caught) => {}
        () = answer(from_server, to_client, weather, catches) => {}
    }
}

/// What is sent to the database, message by message.
async fn ask(
    mut from: tcp::OwnedReadHalf,
    mut to: unix::OwnedWriteHalf,
    shared: &Shared,
    mut weather: watch::Receiver<Weather>,
    caught: watch::Sender<Option<(Trap, mpsc::UnboundedSender<()>)>>,
) {
    let mut messages = Messages::default();
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let sent = &buffer[..read];
        let commits = messages.commits_in(sent);
        pass(&mut weather).await;
        if commits {
            let trap = shared.trap.lock().unwrap().take();
            if let Some((trap, sprung)) = trap {
                if trap == Trap::Hold {
                    let _ = sprung.send(());
                    return std::future::pending().await;
                }
                caught.send_replace(Some((trap, sprung)));
            }
        }
        if to.write_all(sent).await.is_err() {
            return;
        }
    }
}

/// What the database answers.
async fn answer(
    mut from: unix::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    mut weather: watch::Receiver<Weather>,
    catches: watch::Receiver<Option<(Trap, mpsc::UnboundedSender<()>)>>,
) {
    let mut buffer = vec![0; 16 << 10];
    loop {
        let Ok(read @ 1..) = from.read(&mut buffer).await else { return };
        let caught = catches.borrow().clone();
        if let Some((trap, sprung)) = caught {
            // All of the answer has to have come, else it was not carried out.
            let whole = timeout(COMMIT_PATIENCE, rest(&mut from, &mut buffer, read)).await;
            if whole.is_ok() {
                let _ = sprung.send(());
            }
            if trap == Trap::KeepAnswer {
                return std::future::pending().await;
            }
            return;
        }
        pass(&mut weather).await;
        if to.write_all(&buffer[..read]).await.is_err() {
            return;
        }
    }
}

/// Reads until the database is ready for the next message: `Z`, 5, a status.
async fn rest(from: &mut unix::OwnedReadHalf, buffer: &mut [u8], read: usize) {
    let mut tail = buffer[..read].to_vec();
    while tail.len() < 6 || tail[tail.len() - 6..tail.len() - 1] != *b"Z\0\0\0\x05" {
        match from.read(buffer).await {
            Ok(read @ 1..) => tail.extend_from_slice(&buffer[..read]),
            _ => return std::future::pending().await,
        }
    }
}

/// Waits as long as the weather has it.
async fn pass(weather: &mut watch::Receiver<Weather>) {
    loop {
        let now = *weather.borrow_and_update();
        match now {
            Weather::Fair => return,
            Weather::Slow(by) => return sleep(by).await,
            // What was lost stays lost: nothing of this connection goes on.
            Weather::Silent => std::future::pending::<()>().await,
        }
    }
}

/// Finds the messages in a stream of bytes.
#[derive(Default)]
struct Messages {
    /// Bytes of messages that are not complete.
    pending: Vec<u8>,
    /// True once the first message, which has no type, was seen.
    started: bool,
}

impl Messages {
    /// Whether a COMMIT is among the messages that are complete now.
    fn commits_in(&mut self, sent: &[u8]) -> bool {
        self.pending.extend_from_slice(sent);
        let mut commits = false;
        loop {
            let header = usize::from(self.started);
            let Some(length) = self.pending.get(header..header + 4) else { return commits };
            let length = u32::from_be_bytes(length.try_into().unwrap()) as usize + header;
            if self.pending.len() < length {
                return commits;
            }
            let message: Vec<u8> = self.pending.drain(..length).collect();
            // A query in one message: how a lane commits.
            commits |= self.started && message[0] == b'Q' && message[5..].starts_with(b"COMMIT");
            self.started = true;
        }
    }
}

#[test]
fn a_commit_is_found_wherever_packets_break() {
    let mut sent = b"\0\0\0\x0c\0\x03\0\0user".to_vec();
    for query in ["BEGIN", "COMMIT AND CHAIN"] {
        sent.push(b'Q');
        sent.extend(u32::try_from(query.len() + 5).unwrap().to_be_bytes());
        sent.extend(query.as_bytes());
        sent.push(0);
    }
    for step in 1..sent.len() {
        let mut messages = Messages::default();
        let found = sent.chunks(step).filter(|part| messages.commits_in(part)).count();
        assert_eq!(found, 1, "packets of {step}");
    }
}
