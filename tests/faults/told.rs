//! A reader of events, which goes from replica to replica with its cursor, and what it
//! has to have heard: what the ledger tells, in the ledger's order, each thing once.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use creditgate::{
    domain::{
        account::Notice,
        entry::EntryKind,
        event::{EntryFacts, Event, EventKind},
    },
    ids::{AccountId, CreditType},
    proto::{WatchEventsRequest, event_service_client::EventServiceClient},
};
use sqlx::{PgConnection, Row};
use tokio::{
    task::JoinHandle,
    time::{sleep, timeout},
};
use tonic::transport::Channel;

/// A replica that says nothing for so long is left: it may be paused.
const SILENCE: Duration = Duration::from_secs(3);
/// How long what has happened may take to be told, once all is well.
const PATIENCE: Duration = Duration::from_secs(30);

/// An event, as far as it is compared: whose, and its id.
type Heard = Vec<(String, String)>;

/// What a ledger tells: the events of its entries in their order, and those of notices.
#[derive(Default)]
pub struct Expected {
    entries: BTreeMap<String, Vec<String>>,
    notices: BTreeMap<String, BTreeSet<String>>,
}

impl Expected {
    fn count(&self) -> usize {
        let entries = self.entries.values().map(Vec::len);
        entries.chain(self.notices.values().map(BTreeSet::len)).sum()
    }
}

/// Reads what the ledger tells by now.
pub async fn expected(connection: &mut PgConnection) -> Expected {
    let mut expected = Expected::default();
    let rows = sqlx::query(
        "SELECT account_id, credit_type, sequence, kind, reference, create_time
           FROM cell_00.ledger_entries ORDER BY account_id, credit_type, sequence",
    );
    for row in rows.fetch_all(&mut *connection).await.unwrap() {
        let account: String = row.get("account_id");
        let event = Event::of_entry(EntryFacts {
            account_id: AccountId::new(&account).unwrap(),
            credit_type: CreditType::new(row.get("credit_type")).unwrap(),
            sequence: row.get("sequence"),
            kind: EntryKind::from_number(row.get("kind")).unwrap(),
            credits: 0,
            available_after: 0,
            create_time: row.get("create_time"),
            reservation_id: None,
            reference: row.get("reference"),
            actor: String::new(),
            source: None,
        });
        let of_account = expected.entries.entry(account).or_default();
        of_account.extend(event.map(|event| event.event_id.to_string()));
    }
    let rows = sqlx::query("SELECT account_id, notice_key, create_time FROM cell_00.notices");
    for row in rows.fetch_all(connection).await.unwrap() {
        let account: String = row.get("account_id");
        let notice = Notice {
            key: row.get("notice_key"),
            kind: EventKind::LowBalance,
            credit_type: None,
            credits: 0,
            subject: String::new(),
            detail: String::new(),
            sequence: None,
            available: None,
            create_time: row.get("create_time"),
        };
        let event = Event::of_notice(AccountId::new(&account).unwrap(), notice);
        expected.notices.entry(account).or_default().insert(event.event_id.to_string());
    }
    expected
}

/// The reader.
pub struct Reader {
    heard: Arc<Mutex<Heard>>,
    reading: JoinHandle<()>,
}

impl Reader {
    /// Reads all events from the first on.
    pub fn start(replicas: Vec<Channel>) -> Self {
        let heard = Arc::<Mutex<Heard>>::default();
        let reading = tokio::spawn(read(replicas, Arc::clone(&heard)));
        Self { heard, reading }
    }

    /// Waits until as much was heard as was to be, and gives it; says what was not.
    pub async fn finish(self, expected: &Expected) -> (Heard, Vec<String>) {
        let (begun, mut findings) = (Instant::now(), Vec::new());
        let count = || self.heard.lock().unwrap().len();
        while count() < expected.count() {
            if begun.elapsed() > PATIENCE {
                let (heard, all) = (count(), expected.count());
                findings.push(format!("events: {heard} of {all} are told within {PATIENCE:?}"));
                break;
            }
            sleep(Duration::from_millis(50)).await;
        }
        self.reading.abort();
        let heard = self.heard.lock().unwrap().clone();
        (heard, findings)
    }
}

async fn read(replicas: Vec<Channel>, heard: Arc<Mutex<Heard>>) {
    let mut cursor = String::new();
    for replica in replicas.iter().cycle() {
        let request = WatchEventsRequest {
            after_cursor: Some(cursor.clone()),
            ..WatchEventsRequest::default()
        };
        let mut client = EventServiceClient::new(replica.clone());
        let opened = timeout(SILENCE, client.watch_events(request)).await;
        let Ok(Ok(stream)) = opened else {
            sleep(Duration::from_millis(100)).await;
            continue;
        };
        let mut stream = stream.into_inner();
        while let Ok(Ok(Some(message))) = timeout(SILENCE, stream.message()).await {
            cursor = message.cursor;
            if let Some(event) = message.event {
                heard.lock().unwrap().push((event.account_id, event.event_id));
            }
        }
    }
}

/// Compares what was heard with what the ledger tells in the end: it may have gone on
/// since.
pub fn check(heard: &Heard, expected: &Expected) -> Vec<String> {
    let mut findings = Vec::new();
    let mut seen = BTreeSet::new();
    let mut entries: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (account, id) in heard {
        if !seen.insert(id) {
            findings.push(format!("events: {account}: {id} is told twice"));
        } else if !expected.notices.get(account).is_some_and(|notices| notices.contains(id)) {
            entries.entry(account).or_default().push(id);
        }
    }
    for (account, told) in entries {
        let ledger = expected.entries.get(account).map_or(&[][..], Vec::as_slice);
        let differs = told.iter().zip(ledger).position(|(told, entry)| told != entry);
        if let Some(at) = differs.or((told.len() > ledger.len()).then_some(ledger.len())) {
            findings.push(format!(
                "events: {account}: number {at} that is told is not what the ledger tells there"
            ));
        }
    }
    findings
}
