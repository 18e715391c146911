//! Mails: events handed on to people, and sent by SMTP.

pub mod words;

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use lettre::{
    AsyncSmtpTransport, AsyncTransport, Message, Tokio1Executor,
    message::{Mailbox, MultiPart},
};
use rand::RngExt;
use tokio::time;
use tokio_util::sync::CancellationToken;
use uuid::Uuid;

use super::{count, hand_on::Consumer, shown};
use crate::{
    clock::Timestamp,
    domain::event::{Event, EventKind},
    ids::{AccountId, SeenAccounts},
    ledger::{Ledger, LedgerError, WORK_LIMIT, detached, within},
    store::{
        Cell, Database, StoreError,
        delivery_state::DeliveryState,
        event_cursors::Handover,
        mails::{Addressee, NewMail, StoredMail, TakenMail},
        queries::FeedRow,
    },
};

/// Who imports: what is brought in from elsewhere is no news to its owner.
const IMPORT: &str = "import";
/// Mails that are taken at once, and for how long: longer than all of them take.
const PAGE: i64 = 20;
const LEASE: Duration = Duration::from_secs(600);
/// How long one mail may take.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The rest when nothing is due.
const PERIOD: Duration = Duration::from_millis(500);
const ERROR_PAUSE: Duration = Duration::from_secs(5);
/// The rests after the first, the second, ... failure: about two days together.
const RESTS: [u64; 8] = [30, 120, 600, 3600, 4 * 3600, 8 * 3600, 12 * 3600, 24 * 3600];

/// Why no mail can be sent.
#[derive(Debug, thiserror::Error)]
pub enum MailError {
    /// The URL of the server.
    #[error("smtp_url is not understood: {0}")]
    Url(String),
    /// Who mails are from.
    #[error("mail_from is not understood: {0}")]
    From(String),
}

/// Hands events on to the people behind accounts.
#[derive(Debug)]
pub struct ToMails {
    database: Database,
}

impl ToMails {
    /// The accounts of this database.
    #[must_use]
    pub fn new(database: Database) -> Self {
        Self { database }
    }
}

impl Consumer for ToMails {
    const NAME: &'static str = "mails";
    type Audience = ();
    type Parcel = Vec<NewMail>;

    async fn audience(&self) -> Result<Option<()>, LedgerError> {
        Ok(Some(()))
    }

    async fn prepare(
        &self,
        (): &(),
        cell: &Cell,
        rows: &[FeedRow],
    ) -> Result<Vec<NewMail>, LedgerError> {
        let events: Vec<&Event> = rows.iter().flat_map(|row| &row.events).collect();
        let accounts: BTreeSet<String> =
            events.iter().map(|event| event.account_id.to_string()).collect();
        let accounts: Vec<String> = accounts.into_iter().collect();
        if accounts.is_empty() {
            return Ok(Vec::new());
        }
        let (cell, owners) = (cell.clone(), accounts.clone());
        let addressees = async move { cell.addressees(&owners).await };
        let addressees: BTreeMap<String, Addressee> = within(WORK_LIMIT, addressees)
            .await?
            .into_iter()
            .map(|addressee| (addressee.account_id.clone(), addressee))
            .collect();
        let database = self.database.clone();
        let choices = async move { database.mail_choices(&accounts).await };
        let choices = within(WORK_LIMIT, choices).await?;
        let mut mails = Vec::new();
        for event in &events {
            let account_id = event.account_id.as_str();
            let Some(addressee) = addressees.get(account_id) else { continue };
            let is_wanted = match choices.get(account_id) {
                Some(kinds) => kinds.contains(&(event.kind as i16)),
                None => words::USUAL.contains(&event.kind),
            };
            if is_wanted && event.actor != IMPORT && !is_told_by_another(event, &events) {
                mails.push(mail(event, addressee));
            }
        }
        Ok(mails)
    }

    async fn write(parcel: Vec<NewMail>, handover: &mut Handover) -> Result<(), StoreError> {
        if parcel.is_empty() { Ok(()) } else { handover.mail(&parcel).await }
    }
}

/// One fall past both levels is one mail: that nothing is left.
fn is_told_by_another(event: &Event, events: &[&Event]) -> bool {
    event.kind == EventKind::LowBalance
        && events.iter().any(|other| {
            other.kind == EventKind::ZeroBalance
                && other.account_id == event.account_id
                && (&other.place.credit_type, other.place.sequence)
                    == (&event.place.credit_type, event.place.sequence)
        })
}

fn mail(event: &Event, addressee: &Addressee) -> NewMail {
    let name = match addressee.display_name.as_str() {
        "" => addressee.account_id.as_str(),
        name => name,
    };
    let words = words::words(event, name);
    NewMail {
        event_id: event.event_id,
        account_id: addressee.account_id.clone(),
        kind: event.kind as i16,
        credit_type: event.credit_type.as_ref().map_or_else(String::new, ToString::to_string),
        recipient: addressee.billing_email.clone(),
        subject: words.subject,
        body_text: words.text,
        body_html: words.html,
        most_an_hour: words::most_an_hour(event.kind),
    }
}

/// Sends mails.
#[derive(Clone)]
pub struct Mailer {
    transport: AsyncSmtpTransport<Tokio1Executor>,
    from: Mailbox,
}

// The transport holds a password.
impl std::fmt::Debug for Mailer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Mailer").field("from", &self.from).finish_non_exhaustive()
    }
}

impl Mailer {
    /// Hands mails in at `smtp_url`, from `from`.
    ///
    /// # Errors
    ///
    /// Either is not understood.
    pub fn new(smtp_url: &str, from: &str) -> Result<Self, MailError> {
        let transport = AsyncSmtpTransport::<Tokio1Executor>::from_url(smtp_url)
            .map_err(|error| MailError::Url(error.to_string()))?
            .timeout(Some(TIMEOUT))
            .build();
        let from = from
            .parse()
            .map_err(|error: lettre::address::AddressError| MailError::From(error.to_string()))?;
        Ok(Self { transport, from })
    }

    /// Whether the server takes us: it is greeted, and told who we are, nothing else.
    ///
    /// # Errors
    ///
    /// Why not, for people.
    pub async fn greet(&self, limit: Duration) -> Result<(), String> {
        match time::timeout(limit, self.transport.test_connection()).await {
            Ok(Ok(true)) => Ok(()),
            Ok(Ok(false)) => Err("the mail server does not want us".to_owned()),
            Ok(Err(error)) => Err(shown(&error.to_string())),
            Err(_) => Err(format!("no answer within {} s", limit.as_secs())),
        }
    }

    /// Sends one. `Err(true)`: it never will be; `Err(false)`: another try may do better.
    async fn send(&self, mail: &TakenMail) -> Result<(), (bool, String)> {
        let recipient: Mailbox = mail
            .recipient
            .parse()
            .map_err(|error: lettre::address::AddressError| (true, error.to_string()))?;
        let domain = self.from.email.domain();
        let (text, html) = (mail.body_text.clone(), mail.body_html.clone());
        let message = Message::builder()
            .from(self.from.clone())
            .to(recipient)
            .subject(&mail.subject)
            // The same at every try: whoever gets it twice can tell.
            .message_id(Some(format!("<{}@{domain}>", mail.event_id)))
            .multipart(MultiPart::alternative_plain_html(text, html))
            .map_err(|error| (true, error.to_string()))?;
        match time::timeout(TIMEOUT, self.transport.send(message)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) => Err((error.is_permanent(), error.to_string())),
            Err(_) => Err((false, "the mail server does not answer".to_owned())),
        }
    }
}

/// Sends what waits until `stop`.
pub async fn run(database: Database, mailer: Mailer, stop: CancellationToken) {
    loop {
        let taker = database.clone();
        let taken = within(WORK_LIMIT, async move { taker.take_mails(PAGE, LEASE).await });
        let pause = match taken.await {
            Ok(mails) if mails.is_empty() => PERIOD,
            Ok(mails) => {
                for mail in mails {
                    if stop.is_cancelled() {
                        return;
                    }
                    deliver(&database, &mailer, mail).await;
                }
                Duration::ZERO
            }
            Err(error) => {
                tracing::warn!(%error, "mails are sent later");
                ERROR_PAUSE
            }
        };
        tokio::select! {
            () = stop.cancelled() => return,
            () = time::sleep(pause.mul_f64(rand::rng().random_range(0.5..1.0))) => {}
        }
    }
}

async fn deliver(database: &Database, mailer: &Mailer, mail: TakenMail) {
    let outcome = |outcome| count("mail", outcome);
    let (state, rest, error) = match mailer.send(&mail).await {
        Ok(()) => {
            outcome("delivered");
            (DeliveryState::Delivered, Duration::ZERO, String::new())
        }
        Err((is_final, error)) => {
            let index = usize::try_from(mail.attempts - 1).unwrap_or(usize::MAX);
            let rest = RESTS.get(index).filter(|_| !is_final).copied().map(Duration::from_secs);
            let (account, event) = (&mail.account_id, mail.event_id);
            match rest {
                Some(rest) => {
                    outcome("failed");
                    tracing::info!(account, %event, error, "a mail is sent again later");
                    (DeliveryState::Waiting, rest, error)
                }
                None => {
                    outcome("given_up");
                    tracing::warn!(account, %event, error, "a mail cannot be sent");
                    (DeliveryState::Failed, Duration::ZERO, error)
                }
            }
        }
    };
    let error = shown(&error);
    let database = database.clone();
    let settle = async move { database.settle_mail(&mail, state, rest, &error).await };
    if let Err(error) = within(WORK_LIMIT, settle).await {
        tracing::warn!(%error, "what became of a mail is not known: it may be sent again");
    }
}

/// What accounts are mailed, and were. Clones share it.
#[derive(Debug, Clone)]
pub struct Mails {
    database: Database,
    ledger: Ledger,
}

impl Mails {
    /// Those of this ledger's accounts.
    #[must_use]
    pub fn new(database: Database, ledger: Ledger) -> Self {
        Self { database, ledger }
    }

    /// Says what an account is mailed; `None` for what is usual. Gives the kinds.
    ///
    /// # Errors
    ///
    /// It does not exist, or the database is away.
    pub async fn choose(
        &self,
        account_id: &AccountId,
        kinds: Option<Vec<EventKind>>,
        actor: &str,
    ) -> Result<Vec<EventKind>, LedgerError> {
        self.ledger.cell_with(account_id).await?;
        let numbers: Option<Vec<i16>> =
            kinds.as_ref().map(|kinds| kinds.iter().map(|kind| *kind as i16).collect());
        let (database, id, actor) =
            (self.database.clone(), account_id.to_string(), actor.to_owned());
        let choose = async move { database.choose_mails(&id, numbers.as_deref(), &actor).await };
        detached(choose).await?;
        Ok(kinds.unwrap_or_else(|| words::USUAL.to_vec()))
    }

    /// The same, of these accounts alone.
    #[must_use]
    pub fn seen_by(&self, accounts: SeenAccounts) -> Self {
        Self { ledger: self.ledger.seen_by(accounts), ..self.clone() }
    }

    /// An account's mails, the newest first.
    ///
    /// # Errors
    ///
    /// It does not exist, or the database is away.
    pub async fn list(
        &self,
        account_id: &AccountId,
        before: Option<(Timestamp, Uuid)>,
        limit: i64,
    ) -> Result<Vec<StoredMail>, LedgerError> {
        self.ledger.cell_with(account_id).await?;
        let (database, id) = (self.database.clone(), account_id.to_string());
        detached(async move { database.mails(&id, before, limit).await }).await
    }
}
