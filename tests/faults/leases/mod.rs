//! Every interleaving of reserve, extend, commit, release, expire and two replicas
//! with a reaper each, for one credit that two scans want.
//!
//! What decides is the product's own `decide`. What is modelled is the database
//! beneath it when row locks are lost: a replica reads, others write, and it writes
//! only where the guards hold, as `src/store/batch/write.rs` has them. An answer may
//! be lost after the write.

mod world;

use std::collections::BTreeSet;

use chrono::TimeDelta;
use creditgate::{
    clock::Timestamp,
    domain::{
        account::{Account, AccountState},
        catalog::{Catalog, Policy, ScanKind},
        command::{Action, Command, Grant, OperationKind, Outcome, Reserve},
        context::Context,
        credit::LotSource,
        decide::{decide, decide_all},
        entry::EntryKind,
        reservation::{ReleaseCause, ReservationState, Scan},
    },
    ids::{AccountId, CreditType, LotId, OperationId, ReservationId, ScanKindName},
};
use stateright::{Checker, Expectation, HasDiscoveries, Model, Property};
use world::{Asked, Running, WORLDS, World};

/// The two scans.
const SCANS: [&str; 2] = ["r1", "r2"];
/// Minutes that pass at most.
const MINUTES: u8 = 2;

/// What has to happen in some world, or they show nothing.
const SOMETIMES: [&str; 4] = [
    "a late commit",
    "a refund",
    "the credit of an expired hold goes to the other scan",
    "a block",
];

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Step {
    /// A minute passes.
    Tick,
    /// A replica's reaper looks for holds that are over.
    Look(usize),
    /// A replica begins a command: it reads.
    Read(usize, usize),
    /// It writes, if the guards hold, and answers.
    Write(usize),
    /// It writes, and its answer is lost.
    WriteUnheard(usize),
}

fn time(minute: u8) -> Timestamp {
    Timestamp::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::minutes(minute.into())
}

fn credit_type() -> CreditType {
    CreditType::new("scan").unwrap()
}

fn reservation(scan: usize) -> ReservationId {
    ReservationId::new(SCANS[scan]).unwrap()
}

struct Leases {
    catalog: Catalog,
    commands: &'static [(Asked, u8)],
    /// False for a database that does not look whether the guards hold: then
    /// something has to be found.
    guarded: bool,
}

impl Leases {
    fn new(commands: &'static [(Asked, u8)], guarded: bool) -> Self {
        let kind = ScanKind {
            name: ScanKindName::new("live_audit").unwrap(),
            credit_type: Some(credit_type()),
            credits: 1,
            default_lease: None,
            max_lease: None,
        };
        let policy = Policy { planless_accounts_may_spend: true, ..Policy::default() };
        let catalog = Catalog { scan_kinds: vec![kind], policy, ..Catalog::default() };
        Self { catalog, commands, guarded }
    }

    fn context(&self, account: &AccountState, minute: u8) -> Context<'_> {
        let last = account.balances.values().map(|balance| balance.last_entry_time).max();
        let now = last.map_or(time(minute), |last| last.max(time(minute)));
        Context { now, catalog: &self.catalog, new_lot_id: || LotId(uuid::Uuid::nil()) }
    }

    fn command(&self, asked: Asked) -> Command {
        let action = match asked {
            Asked::Reserve(scan) => Action::Reserve(Reserve {
                reservation_id: reservation(scan),
                scan: Scan {
                    project_id: None,
                    scan_kind: ScanKindName::new("live_audit").unwrap(),
                    credits: 0,
                },
                lease: Some(TimeDelta::minutes(1)),
                labels: Default::default(),
            }),
            Asked::Extend(scan) => {
                Action::Extend { reservation_id: reservation(scan), lease: TimeDelta::minutes(2) }
            }
            Asked::Commit(scan) => {
                Action::Commit { reservation_id: reservation(scan), credits: None }
            }
            Asked::Release(scan) => Action::Release {
                reservation_id: reservation(scan),
                cause: ReleaseCause::PlatformError,
                note: String::new(),
            },
            Asked::Expire(scan) => Action::ExpireLease { reservation_id: reservation(scan) },
        };
        Command { account_id: AccountId::new("a").unwrap(), actor: "test".to_owned(), action }
    }

    /// Writes what `read` has become, where the guards hold; whether they did.
    fn write(&self, world: &mut World, read: &AccountState, new: AccountState) -> bool {
        let stored = &world.stored;
        let same = |credit_type: &CreditType| {
            let sequence = |of: &AccountState| of.balance(credit_type).sequence;
            sequence(stored) == sequence(read)
        };
        let untouched = |(id, now): (&ReservationId, _)| {
            let was = read.reservations.get(id);
            let is = stored.reservations.get(id);
            was == Some(now)
                || was.map(|r| (r.state, r.expire_time)) == is.map(|r| (r.state, r.expire_time))
        };
        let holds = new.balances.iter().all(|(credit_type, balance)| {
            *balance == read.balance(credit_type) || same(credit_type)
        }) && new.reservations.iter().all(untouched);
        if self.guarded && !holds {
            return false;
        }
        for entry in &new.entries {
            let id = entry.reservation_id.as_ref().map_or("", |id| id.as_str());
            let scan = SCANS.iter().position(|scan| *scan == id).unwrap();
            world.ledger.push((entry.kind, scan, world.minute));
        }
        // Only rows that have changed are written.
        for (credit_type, balance) in new.balances {
            if read.balance(&credit_type) != balance {
                world.stored.balances.insert(credit_type, balance);
            }
        }
        for (id, lot) in new.lots {
            if read.lots.get(&id) != Some(&lot) {
                world.stored.lots.insert(id, lot);
            }
        }
        for (id, now) in new.reservations {
            if read.reservations.get(&id) != Some(&now) {
                world.stored.reservations.insert(id, now);
            }
        }
        true
    }

    /// Carries out what a replica has read. Where a guard does not hold it is as if
    /// it had not begun, and it may begin again.
    fn carry_out(&self, world: &mut World, replica: usize, heard: bool) {
        let Some(running) = world.replicas[replica].take() else { return };
        let asked = self.commands[running.command].0;
        let mut new = running.read.clone();
        let context = self.context(&running.read, running.minute);
        let command = self.command(asked);
        let outcome = match decide_all(&mut new, std::iter::once(&command), &context) {
            Ok(mut answers) => answers.remove(0),
            // A block that names who holds the credits would be read for.
            Err(_) => {
                world.blocked = true;
                return;
            }
        };
        if !self.write(world, &running.read, new) {
            world.begun[running.command] -= 1;
            return;
        }
        if !heard {
            return;
        }
        let minute = |time: Timestamp| u8::try_from((time - self::time(0)).num_minutes()).unwrap();
        match (asked, outcome) {
            (
                Asked::Reserve(scan) | Asked::Extend(scan),
                Ok(Outcome::Reserved { reservation, .. } | Outcome::Extended { reservation }),
            ) => {
                let promised = &mut world.promised[scan];
                *promised = (*promised).max(Some(minute(reservation.expire_time)));
            }
            (Asked::Commit(scan), Ok(_)) => world.spent[scan] = true,
            _ => {}
        }
    }
}

impl Model for Leases {
    type State = World;
    type Action = Step;

    fn init_states(&self) -> Vec<World> {
        let mut stored = AccountState::new(Account::new(AccountId::new("a").unwrap(), time(0)));
        let grant = Action::Grant(Grant {
            key: (OperationKind::Grant, OperationId::new("g").unwrap()),
            source: LotSource::Grant,
            credit_type: credit_type(),
            credits: 1,
            expire_time: None,
            reason: String::new(),
        });
        let command = Command { action: grant, ..self.command(Asked::Expire(0)) };
        let empty = stored.clone();
        decide(&mut stored, &command, &self.context(&empty, 0)).unwrap();
        stored.entries.clear();
        vec![World {
            minute: 0,
            stored,
            ledger: Vec::new(),
            replicas: [None, None],
            found: [[false; 2]; 2],
            begun: vec![0; self.commands.len()],
            promised: [None; 2],
            spent: [false; 2],
            blocked: false,
        }]
    }

    fn actions(&self, world: &World, steps: &mut Vec<Step>) {
        if world.minute < MINUTES {
            steps.push(Step::Tick);
        }
        for (replica, running) in world.replicas.iter().enumerate() {
            if running.is_some() {
                steps.extend([Step::Write(replica), Step::WriteUnheard(replica)]);
                continue;
            }
            steps.push(Step::Look(replica));
            for (number, (asked, times)) in self.commands.iter().enumerate() {
                let may = match asked {
                    Asked::Expire(scan) => world.found[replica][*scan],
                    _ => true,
                };
                if may && world.begun[number] < *times {
                    steps.push(Step::Read(replica, number));
                }
            }
        }
    }

    fn next_state(&self, world: &World, step: Step) -> Option<World> {
        let mut next = world.clone();
        match step {
            Step::Tick => next.minute += 1,
            Step::Look(replica) => {
                let is_over = |scan: usize| {
                    let stored = world.stored.reservations.get(&reservation(scan));
                    stored.is_some_and(|r| r.is_held() && r.expire_time <= time(world.minute))
                };
                // What it has found it may ask for at any time.
                let found = next.found[replica];
                next.found[replica] = [found[0] || is_over(0), found[1] || is_over(1)];
                if next.found[replica] == found {
                    return None;
                }
            }
            Step::Read(replica, command) => {
                next.begun[command] += 1;
                let (read, minute) = (world.stored.clone(), world.minute);
                next.replicas[replica] = Some(Running { command, read, minute });
            }
            Step::Write(replica) => self.carry_out(&mut next, replica, true),
            Step::WriteUnheard(replica) => self.carry_out(&mut next, replica, false),
        }
        next.order();
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("the books agree", |_, world: &World| {
                let balance = world.stored.balance(&credit_type());
                let held = world.stored.reservations.values().filter(|r| r.is_held()).count();
                let lots: i64 = world.stored.lots.values().map(|lot| lot.remaining).sum();
                let entries = i64::try_from(world.ledger.len()).unwrap() + 1;
                balance.total() == Some(1)
                    && balance.available >= 0
                    && balance.spent >= 0
                    && balance.reserved == i64::try_from(held).unwrap()
                    && balance.available == lots
                    && balance.sequence == entries
            }),
            Property::always("never both COMMIT and LEASE_EXPIRE", |_, world: &World| {
                (0..2).all(|scan| {
                    !(world.has(EntryKind::Commit, scan) && world.has(EntryKind::LeaseExpire, scan))
                })
            }),
            Property::always("nothing happens twice", |_, world: &World| {
                (0..2).all(|scan| {
                    EntryKind::ALL.iter().all(|kind| world.count(*kind, scan) <= 1)
                        && world.count(EntryKind::Commit, scan)
                            + world.count(EntryKind::LateCommit, scan)
                            <= 1
                })
            }),
            Property::always("a lease lasts as long as was promised", |_, world: &World| {
                world.ledger.iter().all(|(kind, scan, minute)| {
                    *kind != EntryKind::LeaseExpire
                        || world.promised[*scan].is_none_or(|promised| *minute >= promised)
                })
            }),
            Property::always("what was told as spent is spent", |_, world: &World| {
                (0..2).filter(|scan| world.spent[*scan]).all(|scan| {
                    let state = world.stored.reservations[&reservation(scan)].state;
                    matches!(state, ReservationState::Committed | ReservationState::Refunded)
                })
            }),
            Property::sometimes(SOMETIMES[0], |_, world: &World| {
                world.has(EntryKind::LateCommit, 0)
            }),
            Property::sometimes(SOMETIMES[1], |_, world: &World| world.has(EntryKind::Refund, 0)),
            Property::sometimes(SOMETIMES[2], |_, world: &World| {
                world.has(EntryKind::LeaseExpire, 0) && world.has(EntryKind::Reserve, 1)
            }),
            Property::sometimes(SOMETIMES[3], |_, world: &World| world.blocked),
        ]
    }
}

#[test]
fn no_interleaving_of_replicas_and_reapers_breaks_a_rule() {
    let mut unseen = BTreeSet::from(SOMETIMES);
    for commands in WORLDS {
        let checker = Leases::new(commands, true).checker().threads(2).spawn_bfs().join();
        println!("{} states: {commands:?}", checker.unique_state_count());
        for property in checker.model().properties() {
            if property.expectation == Expectation::Always {
                checker.assert_no_discovery(property.name);
            }
        }
        unseen.retain(|name| checker.discovery(name).is_none());
    }
    assert_eq!(unseen, BTreeSet::new());
}

#[test]
fn without_the_guards_the_model_finds_what_they_keep_out() {
    for commands in WORLDS {
        let model = Leases::new(commands, false).checker().finish_when(HasDiscoveries::AnyFailures);
        let checker = model.threads(2).spawn_bfs().join();
        assert!(checker.discovery("the books agree").is_some(), "{commands:?}");
    }
}
