//! What holds of every history.

use creditgate::{
    clock::Timestamp,
    domain::{
        catalog_check::check,
        command::{Action, Command, Outcome, Refusal},
        context::Context,
        due,
    },
};
use proptest::prelude::*;

use super::{
    audit::audit,
    billing::billing_histories,
    billing_catalog::billing_catalog,
    generate::{Change, Step, catalog, histories},
    model::{Model, next_lot_id},
    support::Gate,
};

/// Cases of each property: enough to find what is rare, fast enough for every
/// build. `PROPTEST_CASES` asks for more.
fn config(cases: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok());
    ProptestConfig {
        cases: asked.unwrap_or(cases),
        failure_persistence: None,
        ..ProptestConfig::default()
    }
}

proptest! {
    #![proptest_config(config(500))]

    #[test]
    fn the_books_balance_after_every_step(history in histories(60)) {
        books_balance(&history);
    }

    #[test]
    fn a_batch_gives_what_its_commands_give_one_after_the_other(
        history in histories(80),
        size in 2..30_usize,
    ) {
        batches_agree(history, size);
    }

    #[test]
    fn every_command_sent_again_changes_nothing(history in histories(60)) {
        repeats_change_nothing(history)?;
    }

    #[test]
    fn a_check_agrees_with_the_reserve_after_it(history in histories(60)) {
        checks_agree(history)?;
    }

    #[test]
    fn what_is_due_is_told_beforehand(history in histories(60)) {
        due_is_told(history)?;
    }
}

/// The same of histories with purchases in them.
mod with_purchases {
    use super::*;

    proptest! {
        #![proptest_config(config(500))]

        #[test]
        fn the_books_balance_after_every_step(history in billing_histories(80)) {
            books_balance(&history);
        }

        #[test]
        fn a_batch_gives_what_its_commands_give_one_after_the_other(
            history in billing_histories(80),
            size in 2..30_usize,
        ) {
            batches_agree(history, size);
        }

        #[test]
        fn every_command_sent_again_changes_nothing(history in billing_histories(80)) {
            repeats_change_nothing(history)?;
        }

        #[test]
        fn a_check_agrees_with_the_reserve_after_it(history in billing_histories(80)) {
            checks_agree(history)?;
        }

        #[test]
        fn what_is_due_is_told_beforehand(history in billing_histories(80)) {
            due_is_told(history)?;
        }
    }
}

fn books_balance(history: &[Step]) {
    let mut model = Model::new();
    for step in history {
        model.change(step.at, &step.change);
        audit(&model);
    }
}

fn batches_agree(history: Vec<Step>, size: usize) {
    let (mut batched, mut single) = (Model::new(), Model::new());
    let mut batch = Vec::new();
    let mut batch_time = Timestamp::UNIX_EPOCH;
    for Step { at, change } in history {
        let full = batch.len() >= size || (!batch.is_empty() && at != batch_time);
        match change {
            Change::Command(command) => {
                if full {
                    compare(&mut batched, &mut single, batch_time, &mut batch);
                }
                batch_time = at;
                batch.push(command);
            }
            change => {
                compare(&mut batched, &mut single, batch_time, &mut batch);
                batched.change(at, &change);
                single.change(at, &change);
            }
        }
    }
    compare(&mut batched, &mut single, batch_time, &mut batch);
}

fn repeats_change_nothing(history: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model::new();
    for Step { at, change } in history {
        model.change(at, &change);
        if let Change::Command(command) = change {
            let before = model.clone();
            let first = model.run(at, std::slice::from_ref(&command));
            // What the first call did may let a second one of a block, or
            // of a late commit, through: never of anything that has moved.
            let kept = model.entries == before.entries;
            let again = model.run(at, std::slice::from_ref(&command));
            prop_assert!(kept, "{command:?} moved credits twice: {first:?}");
            prop_assert_eq!(first, again);
        }
    }
    Ok(())
}

fn checks_agree(history: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model::new();
    for Step { at, change } in history {
        if let Change::Command(Command { action: Action::Reserve(reserve), .. }) = &change
            && !model.reservations.contains_key(&reserve.reservation_id)
        {
            let check = Command { action: Action::Check(reserve.scan.clone()), ..command(&change) };
            let checked = model.clone().run(at, &[check]).remove(0);
            let reserved = model.clone().run(at, &[command(&change)]).remove(0);
            agree(&checked, &reserved)?;
        }
        model.change(at, &change);
    }
    Ok(())
}

fn due_is_told(history: Vec<Step>) -> Result<(), TestCaseError> {
    let mut model = Model::new();
    for Step { at, change } in history {
        let mut gate = Gate::of(&model, at);
        let mut before = gate.state.clone();
        let catalog = model.catalog.clone();
        let context = Context { now: at, catalog: &catalog, new_lot_id: next_lot_id };
        let pending = due::is_pending(&gate.state, &context);
        if let Err(missing) = due::apply(&mut gate.state, &context) {
            prop_assert_eq!(&gate.state, &before);
            gate.supply(missing);
            before.looked_up.clone_from(&gate.state.looked_up);
            prop_assert_eq!(due::apply(&mut gate.state, &context), Ok(()));
        }
        prop_assert_eq!(pending, gate.state != before);
        prop_assert!(!due::is_pending(&gate.state, &context));
        model.change(at, &change);
    }
    Ok(())
}

fn command(change: &Change) -> Command {
    match change {
        Change::Command(command) => command.clone(),
        other => unreachable!("{other:?}"),
    }
}

fn compare(batched: &mut Model, single: &mut Model, now: Timestamp, batch: &mut Vec<Command>) {
    let commands = std::mem::take(batch);
    if commands.is_empty() {
        return;
    }
    let together = batched.run(now, &commands);
    let apart: Vec<_> =
        commands.iter().flat_map(|c| single.run(now, std::slice::from_ref(c))).collect();
    for ((command, together), apart) in commands.iter().zip(&together).zip(&apart) {
        assert_eq!(together, apart, "{command:?}");
    }
    assert_eq!(batched, single);
}

fn agree(
    checked: &Result<Outcome, Refusal>,
    reserved: &Result<Outcome, Refusal>,
) -> Result<(), TestCaseError> {
    match (checked, reserved) {
        // The check names no lease.
        (_, Err(Refusal::LeaseTooLong { .. })) => {}
        (
            Ok(Outcome::Eligible { credits, credit_type, .. }),
            Ok(Outcome::Reserved { reservation, replayed: false, .. }),
        ) => {
            prop_assert_eq!(*credits, reservation.credits);
            prop_assert_eq!(credit_type, &reservation.credit_type);
        }
        (checked, reserved) => prop_assert_eq!(checked, reserved),
    }
    Ok(())
}

#[test]
fn the_generated_catalogs_are_good() {
    for bits in 0..=u8::MAX {
        assert_eq!(check(&catalog(bits)), Ok(()));
        assert_eq!(check(&billing_catalog(bits)), Ok(()));
    }
}
