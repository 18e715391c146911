//! What mails say: for each kind of event a subject, what happened, the numbers, and
//! what to do next.

use crate::domain::event::{Event, EventKind};

/// A mail's words.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Words {
    /// Its subject.
    pub subject: String,
    /// Plain text.
    pub text: String,
    /// The same as HTML.
    pub html: String,
}

/// The kinds that are mailed where an account has not chosen.
pub const USUAL: [EventKind; 10] = [
    EventKind::CreditUsed,
    EventKind::LowBalance,
    EventKind::ZeroBalance,
    EventKind::Renewed,
    EventKind::ToppedUp,
    EventKind::CreditReturned,
    EventKind::CreditExpired,
    EventKind::SubscriptionEnding,
    EventKind::PaymentReversed,
    EventKind::CreditGranted,
];

/// The most mails of a kind, for one account and type of credits, within an hour. What
/// tells a state is told once; what tells a movement, a few times.
#[must_use]
pub fn most_an_hour(kind: EventKind) -> i64 {
    match kind {
        EventKind::LowBalance
        | EventKind::ZeroBalance
        | EventKind::CreditReturned
        | EventKind::UnbilledScan => 1,
        EventKind::CreditUsed
        | EventKind::Renewed
        | EventKind::ToppedUp
        | EventKind::CreditExpired
        | EventKind::SubscriptionEnding
        | EventKind::PaymentReversed
        | EventKind::CreditGranted
        | EventKind::CreditRevoked => 10,
    }
}

/// The words for an event, to the account of that name.
#[must_use]
pub fn words(event: &Event, account_name: &str) -> Words {
    let (title, next) = title_and_next(event);
    let subject = format!("{title} ({account_name})");
    let message = format!("{}.", event.message());
    let mut rows = vec![("Account", account_name.to_owned())];
    if let Some(credit_type) = &event.credit_type {
        rows.push(("Credits of type", credit_type.to_string()));
    }
    if let Some(available) = event.available {
        rows.push(("Available now", available.to_string()));
    }
    rows.push(("When", event.create_time.format("%Y-%m-%d %H:%M UTC").to_string()));

    let width = rows.iter().map(|(name, _)| name.len()).max().unwrap_or(0);
    let table: String =
        rows.iter().map(|(name, value)| format!("  {name:<width$}  {value}\n")).collect();
    let text = format!("{message}\n\n{table}\n{next}\n");

    let cells: String = rows
        .iter()
        .map(|(name, value)| {
            format!(
                "<tr><td style=\"padding-right:1em;color:#555\">{}</td><td>{}</td></tr>",
                escaped(name),
                escaped(value)
            )
        })
        .collect();
    let html = format!(
        "<!doctype html><html><body style=\"font-family:sans-serif;line-height:1.5\">\
         <h2>{}</h2><p>{}</p><table>{cells}</table><p>{}</p></body></html>",
        escaped(title),
        escaped(&message),
        escaped(next)
    );
    Words { subject, text, html }
}

/// What happened in two words, and what to do next.
fn title_and_next(event: &Event) -> (&'static str, &'static str) {
    match event.kind {
        EventKind::CreditUsed => (
            "Credits used",
            "Nothing has to be done. The ledger of your account shows every movement.",
        ),
        EventKind::LowBalance => (
            "Few credits left",
            "Buy credits, or wait for the next period of your plan, before scans are blocked.",
        ),
        EventKind::ZeroBalance => (
            "No credits left",
            "Scans that need credits are blocked until there are some: buy credits, or wait for \
             the next period of your plan.",
        ),
        EventKind::Renewed => {
            ("New credits for a new period", "Nothing has to be done: they can be used at once.")
        }
        EventKind::ToppedUp => (
            "Your purchase is confirmed",
            "Nothing has to be done: the credits can be used at once.",
        ),
        EventKind::CreditReturned => (
            "Credits came back",
            "The scan did not deliver, and costs nothing. Start it again whenever you like.",
        ),
        EventKind::CreditExpired => (
            "Credits expired",
            "They cannot be used any more. Credits that expire first are always used first.",
        ),
        EventKind::SubscriptionEnding => (
            "Your subscription ends",
            "If that is not what you want, resume it, or subscribe again.",
        ),
        EventKind::PaymentReversed => (
            "A payment was reversed",
            "Credits that it paid for were taken back. If you did not expect this, get in touch \
             with us.",
        ),
        EventKind::UnbilledScan => (
            "A scan could not be charged",
            "It ran longer than its credits were held, and there were none left. Get in touch \
             with us about it.",
        ),
        EventKind::CreditGranted => {
            ("Credits were added", "Nothing has to be done: they can be used at once.")
        }
        EventKind::CreditRevoked => {
            ("Credits were taken back", "If you did not expect this, get in touch with us.")
        }
    }
}

/// A text as HTML: parts of it are other people's words.
fn escaped(text: &str) -> String {
    let mut html = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => html.push_str("&amp;"),
            '<' => html.push_str("&lt;"),
            '>' => html.push_str("&gt;"),
            '"' => html.push_str("&quot;"),
            '\'' => html.push_str("&#39;"),
            c => html.push(c),
        }
    }
    html
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::*;
    use crate::{
        clock::Timestamp,
        domain::event::EventPlace,
        ids::{AccountId, CreditType},
    };

    fn event(kind: EventKind) -> Event {
        let time: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        Event {
            event_id: Uuid::nil(),
            kind,
            account_id: AccountId::new("acc_42").unwrap(),
            credit_type: Some(CreditType::new("scan").unwrap()),
            credits: 1,
            available: Some(2),
            subject: "run-1".to_owned(),
            detail: "will end on 2026-04-01".to_owned(),
            actor: String::new(),
            create_time: time,
            place: EventPlace {
                time,
                credit_type: "scan".to_owned(),
                sequence: 1,
                notice_key: String::new(),
            },
        }
    }

    #[test]
    fn each_kind_has_words_of_its_own_with_the_name_and_the_numbers() {
        let mut subjects = std::collections::BTreeSet::new();
        for kind in EventKind::ALL {
            let Words { subject, text, html } = words(&event(kind), "Acme");
            println!("--- {subject}\n\n{text}");
            assert!(subject.ends_with(" (Acme)") && subjects.insert(subject));
            for word in ["Acme", "scan", "2", "2026-03-01 10:00 UTC"] {
                assert!(text.contains(word) && html.contains(word), "{kind:?}: {word}");
            }
            assert!(most_an_hour(kind) >= 1);
        }
    }

    #[test]
    fn what_others_have_written_is_no_html() {
        let name = "<script>alert('1')</script> & \"Sons\"";
        let Words { html, .. } = words(&event(EventKind::CreditUsed), name);
        assert!(!html.contains("<script>") && html.contains("&lt;script&gt;alert(&#39;1"));
    }
}
