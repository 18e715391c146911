//! A whole file, read and checked as far as it can be without a database.
//!
//! Its good records are kept in memory, so that what is applied is what was
//! checked, whatever becomes of the file meanwhile.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    hash::Hash,
    io::{self, BufRead},
    sync::Arc,
};

use super::{
    Format,
    csv::CsvLines,
    fields::Fields,
    json,
    lines::Lines,
    record::{AccountSubscription, Lot, Project, Record, account_meant, record},
    report::BadLines,
};
use crate::{
    billing::bulk::NewAccount,
    ids::{AccountId, CreditType, OperationId, ProjectId, SubscriptionId},
};

/// A record, and the line that it stands in.
#[derive(Debug, Clone)]
pub(super) struct At<T> {
    pub(super) line: u64,
    pub(super) record: T,
}

/// What a file brings.
#[derive(Debug, Default)]
pub(super) struct Input {
    pub(super) lines: u64,
    pub(super) bad: BadLines,
    pub(super) accounts: Vec<At<NewAccount>>,
    pub(super) projects: Vec<At<Project>>,
    pub(super) lots: Vec<At<Lot>>,
    pub(super) subscriptions: Vec<At<AccountSubscription>>,
    /// Accounts whose own line is bad: what refers to them is not.
    pub(super) excused: HashSet<AccountId>,
}

/// Reads a file to its end.
pub(super) fn read(reader: impl BufRead, format: Format) -> io::Result<Input> {
    let mut lines = Lines::new(reader);
    let mut csv = None;
    let mut input = Input::default();
    let mut seen = Seen::default();
    while let Some((number, line)) = lines.next()? {
        input.lines = number;
        let line = match line {
            Ok(line) if line.trim().is_empty() => continue,
            Ok(line) => line,
            Err(what) => {
                input.bad.add(number, what);
                if format == Format::Csv && csv.is_none() {
                    break;
                }
                continue;
            }
        };
        let fields = match (format, &mut csv) {
            (Format::JsonLines, _) => json::fields(line),
            (Format::Csv, Some(csv)) => CsvLines::fields(csv, line),
            (Format::Csv, None) => match CsvLines::new(line) {
                Ok(header) => {
                    csv = Some(header);
                    continue;
                }
                // Without columns no line says anything.
                Err(what) => {
                    input.bad.add(number, what);
                    break;
                }
            },
        };
        match fields.and_then(|fields| understood(&fields, &mut input.excused)) {
            Ok(record) => match seen.first(&record, number) {
                None => input.add(number, record, &mut seen),
                Some(what) => input.bad.add(number, what),
            },
            Err(what) => input.bad.add(number, what),
        }
    }
    Ok(input)
}

fn understood(fields: &Fields<'_>, excused: &mut HashSet<AccountId>) -> Result<Record, String> {
    record(fields).inspect_err(|_| excused.extend(account_meant(fields)))
}

impl Input {
    fn add(&mut self, line: u64, record: Record, seen: &mut Seen) {
        match record {
            Record::Account(record) => self.accounts.push(At { line, record }),
            Record::Project(record) => self.projects.push(At { line, record }),
            Record::Lot(lot) => self.lots.push(At { line, record: seen.shared.lot(lot) }),
            Record::Subscription(record) => {
                self.subscriptions.push(At { line, record: *record });
            }
        }
    }
}

/// The first line of each id. The same line twice is as wrong as two that differ:
/// it may be a file that was put together twice.
#[derive(Default)]
struct Seen {
    accounts: HashMap<AccountId, u64>,
    projects: HashMap<ProjectId, u64>,
    lots: HashMap<OperationId, u64>,
    subscriptions: HashMap<SubscriptionId, u64>,
    shared: Shared,
}

impl Seen {
    /// Where another line has the same id: what to say of that.
    fn first(&mut self, record: &Record, line: u64) -> Option<String> {
        fn of<T: Hash + Eq>(seen: &mut HashMap<T, u64>, id: T, line: u64) -> Option<u64> {
            match seen.entry(id) {
                Entry::Occupied(first) => Some(*first.get()),
                Entry::Vacant(free) => {
                    free.insert(line);
                    None
                }
            }
        }
        let (first, what, id) = match record {
            Record::Account(account) => {
                let id = &account.account_id;
                (of(&mut self.accounts, id.clone(), line)?, "account", id.as_str())
            }
            Record::Project(project) => {
                let id = &project.project_id;
                (of(&mut self.projects, id.clone(), line)?, "project", id.as_str())
            }
            Record::Lot(lot) => {
                let id = &lot.lot_id;
                (of(&mut self.lots, id.clone(), line)?, "lot", id.as_str())
            }
            Record::Subscription(subscription) => {
                let id = &subscription.subscription.subscription_id;
                (of(&mut self.subscriptions, id.clone(), line)?, "subscription", id.as_str())
            }
        };
        Some(format!("{what} {id} is in line {first} already"))
    }
}

/// Values that many lots have in common, kept once.
#[derive(Default)]
struct Shared {
    account_ids: HashSet<AccountId>,
    credit_types: HashSet<CreditType>,
    reasons: HashSet<Arc<str>>,
}

impl Shared {
    /// Where there are more values than this, it is not worth it.
    const MOST: usize = 1 << 20;

    fn lot(&mut self, lot: Lot) -> Lot {
        fn keep<T: Hash + Eq + Clone>(kept: &mut HashSet<T>, value: T, most: usize) -> T {
            if let Some(kept) = kept.get(&value) {
                return kept.clone();
            }
            if kept.len() < most {
                kept.insert(value.clone());
            }
            value
        }
        Lot {
            account_id: keep(&mut self.account_ids, lot.account_id, Self::MOST),
            credit_type: keep(&mut self.credit_types, lot.credit_type, Self::MOST),
            // Most are either of a few or of their own.
            reason: keep(&mut self.reasons, lot.reason, Self::MOST >> 10),
            ..lot
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(file: impl AsRef<[u8]>, format: Format) -> Input {
        super::read(file.as_ref(), format).unwrap()
    }

    fn told(input: &Input) -> Vec<(u64, &str)> {
        input.bad.first.iter().map(|(line, what)| (*line, what.as_str())).collect()
    }

    #[test]
    fn all_that_is_wrong_with_a_line_is_told_at_once() {
        for (line, wanted) in [
            (r#"{}"#, "type is required: account, project, lot or subscription"),
            (
                r#"{"type":"project","plan":"p"}"#,
                "project_id is required; account_id is required; plan is not for type project",
            ),
            (
                r#"{"type":"account","account_id":"a b","display_name":"x\u0007"}"#,
                "account_id has a character other than A-Z, a-z, 0-9, '.', '_', ':' and '-' at \
                 position 2; display_name has a control character at position 2",
            ),
            (
                r#"{"type":"lot","lot_id":"l","account_id":"a","credit_type":"t","credits":-1,"source":"top_up","subscription_id":"s","reason":"r"}"#,
                "credits is \"-1\": whole numbers from 1 to 1000000000000 are allowed; \
                 period_start_time is required; subscription_id is for lots of source plan; \
                 reason is not for a lot with a subscription_id: it is its period",
            ),
            (
                r#"{"type":"subscription","subscription_id":"s","account_id":"a","plan":"p","status":"active","interval":"day","period_start_time":"2026-01-01T00:00:00Z","period_end_time":"2026-01-01T00:00:00Z"}"#,
                "interval is \"day\": it may be month, year; \
                 period_end_time is not after period_start_time",
            ),
        ] {
            let input = read(line, Format::JsonLines);
            assert_eq!(told(&input), [(1, wanted)]);
        }
    }

    #[test]
    fn an_id_may_stand_in_one_line_of_its_type() {
        let input = read(
            "type,account_id,project_id\naccount,a,\nproject,a,a\naccount,a,\n\nproject,b,a\n",
            Format::Csv,
        );
        assert_eq!(
            told(&input),
            [(4, "account a is in line 2 already"), (6, "project a is in line 3 already")]
        );
        assert_eq!((input.lines, input.accounts.len(), input.projects.len()), (6, 1, 1));
    }

    #[test]
    fn times_are_kept_to_the_microsecond_in_utc() {
        let line = |time: &str| {
            format!(
                r#"{{"type":"lot","lot_id":"l","account_id":"a","credit_type":"t","credits":1,"source":"plan","expire_time":"{time}"}}"#
            )
        };
        let of = |time: &str| {
            let input = read(line(time), Format::JsonLines);
            input.lots.first().and_then(|at| at.record.expire_time)
        };
        let wanted = of("2030-01-01T00:00:00.123456Z");
        assert!(wanted.is_some());
        assert_eq!(of("2030-01-01T01:00:00.123456789+01:00"), wanted);
        for bad in ["2030-01-01", "1969-12-31T23:59:59Z", "9999-12-31T23:59:59-01:00", "x"] {
            assert_eq!(of(bad), None, "{bad}");
        }
    }

    /// Lines that are nearly right.
    fn nearly() -> impl Strategy<Value = String> {
        let value = prop_oneof![
            Just("account".to_owned()),
            Just("lot".to_owned()),
            Just("subscription".to_owned()),
            Just("a".to_owned()),
            Just("1".to_owned()),
            Just("2030-01-01T00:00:00Z".to_owned()),
            "[ -~]{0,6}",
            any::<String>(),
        ];
        prop::collection::vec(value, 0..24).prop_map(|values| values.join(","))
    }

    proptest! {
        #[test]
        fn no_file_panics_and_each_line_is_taken_or_told(
            bytes in prop::collection::vec(any::<u8>(), 0..2_000),
            lines in prop::collection::vec(nearly(), 0..20),
        ) {
            let header: Vec<&str> =
                super::super::fields::Column::ALL.iter().map(|column| column.name()).collect();
            let lines = format!("{}\n{}", header.join(","), lines.join("\n"));
            for format in [Format::Csv, Format::JsonLines] {
                for file in [&bytes[..], lines.as_bytes()] {
                    let input = read(file, format);
                    let taken = input.accounts.len() + input.projects.len() + input.lots.len()
                        + input.subscriptions.len();
                    prop_assert!(taken as u64 + input.bad.count <= input.lines);
                }
            }
        }
    }
}
