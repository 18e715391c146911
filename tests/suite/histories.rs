//! Random histories on real Postgres: a batch gives exactly what its commands
//! give one by one, servers that take turns give what a single one gives, and nothing
//! breaks the books.

use std::fmt::Write as _;

use creditgate::{
    billing::Billing,
    clock::{Clock, ManualClock},
    domain::{
        command::{Action, Command, Outcome},
        subscription::{Subscription, SubscriptionStatus},
        verdict::PendingPayment,
    },
    ids::ProjectId,
    ledger::{Ledger, LedgerError, LedgerOptions},
};
use proptest::{
    strategy::{Strategy, ValueTree},
    test_runner::TestRunner,
};

use crate::harness::{TABLES, TestDb, words::grant};

#[path = "../../src/domain/tests/generate.rs"]
mod generate;

#[path = "../../src/domain/tests/billing.rs"]
mod billing;
#[path = "../../src/domain/tests/billing_catalog.rs"]
mod billing_catalog;
#[path = "../../src/domain/tests/paddle.rs"]
mod paddle;

use billing::billing_histories;
use generate::{Change, Step, account_id, catalog, histories, start};

/// One database on which a history is played.
struct Stage {
    db: TestDb,
    /// Commands that come one by one go to them in turns.
    ledgers: Vec<Ledger>,
    billing: Billing,
    clock: ManualClock,
    answers: Vec<String>,
}

impl Stage {
    async fn new(servers: usize, kept_accounts: usize) -> Self {
        let db = TestDb::new().await;
        let clock = ManualClock::at(start());
        let mut ledgers = Vec::new();
        for _ in 0..servers {
            let clock = Clock::Manual(clock.clone());
            // However often the other one was faster, each goes on trusting what it keeps.
            let options =
                LedgerOptions { kept_accounts, doubt: 0, clock, ..LedgerOptions::default() };
            ledgers.push(db.ledger_with(options).await);
        }
        let ledger = ledgers[0].clone();
        let billing = Billing::new(db.database(), ledger.clone());
        billing.apply_catalog(catalog(0), false, "tester").await.unwrap();
        billing.create_account(&account_id(), "", "").await.unwrap();
        // Enough to begin with, so that histories are not one long block.
        for project in ["project-1", "project-2"] {
            let project = ProjectId::new(project).unwrap();
            billing.assign_project(&project, Some(&account_id())).await.unwrap();
        }
        for credit_type in ["scan", "fix"] {
            ledger.submit(grant("acc", credit_type, credit_type, 25)).await.unwrap();
        }
        Self { db, ledgers, billing, clock, answers: Vec::new() }
    }

    /// All in one batch: they are queued before the lane wakes, because the
    /// test's runtime has one thread and the queue takes them without a wait.
    async fn together(&mut self, commands: Vec<Command>) {
        let answers = self.ledgers[0].submit_all(commands).await;
        self.answers.extend(answers.iter().map(shown));
        self.confirm_payments().await;
    }

    async fn one_by_one(&mut self, commands: Vec<Command>) {
        for command in commands {
            // Now and then the same one twice: it goes on with what it has kept.
            let turn = self.answers.len() / 2 % self.ledgers.len();
            let answer = self.ledgers[turn].submit(command).await;
            self.answers.push(shown(&answer));
            self.confirm_payments().await;
        }
    }

    /// A purchase whose credits were granted is no longer awaited.
    async fn confirm_payments(&self) {
        self.db
            .execute(
                "UPDATE top_ups t SET status = 2, settle_time = t.create_time FROM operations o
                  WHERE o.kind = 3 AND o.operation_id = t.top_up_id AND t.status = 1",
            )
            .await;
    }

    async fn change(&self, change: &Change) {
        match change {
            Change::Command(_) | Change::Reverse(_) => {}
            Change::Subscribe(subscription) => self.subscribe(subscription).await,
            Change::AwaitPayment(payment) => self.await_payment(payment).await,
            Change::AssignProject(project) => self.assign(project, true).await,
            Change::UnassignProject(project) => self.assign(project, false).await,
            Change::Apply(catalog) => {
                self.billing.apply_catalog(*catalog.clone(), false, "tester").await.unwrap();
            }
        }
    }

    async fn assign(&self, project: &ProjectId, give: bool) {
        let account = account_id();
        self.billing.assign_project(project, give.then_some(&account)).await.unwrap();
    }

    async fn subscribe(&self, subscription: &Subscription) {
        let ended = subscription.status == SubscriptionStatus::Canceled;
        sqlx::query(
            "INSERT INTO subscriptions
             VALUES ($1, $2, $3, $4, $5, $6, $7, $7, $8, $9, $7, CASE WHEN $10 THEN $8 END)
                 ON CONFLICT (account_id, subscription_id) DO UPDATE
                SET plan = excluded.plan, status = excluded.status,
                    anchor_time = excluded.anchor_time,
                    period_start_time = excluded.period_start_time,
                    period_end_time = excluded.period_end_time,
                    cancel_at_period_end = excluded.cancel_at_period_end,
                    end_time = excluded.end_time",
        )
        .bind(account_id().as_str())
        .bind(subscription.subscription_id.as_str())
        .bind(subscription.plan.as_str())
        .bind(subscription.status as i16)
        .bind(subscription.interval as i16)
        .bind(&subscription.provider)
        .bind(subscription.period_start_time)
        .bind(subscription.period_end_time)
        .bind(subscription.cancel_at_period_end)
        .bind(ended)
        .execute(&self.db.owner)
        .await
        .unwrap();
        self.db
            .execute("UPDATE accounts SET subscriptions = subscriptions + 1, version = version + 1")
            .await;
    }

    async fn await_payment(&self, payment: &PendingPayment) {
        sqlx::query(
            "INSERT INTO top_ups (account_id, top_up_id, credit_type, credits, price_minor,
                    currency, status, provider, provider_reference, create_time, expire_time)
             VALUES ($1, $2, $3, $4, 100, 'USD', 1, 'paddle', '', $5, $6)
                 ON CONFLICT ON CONSTRAINT top_ups_pkey DO NOTHING",
        )
        .bind(account_id().as_str())
        .bind(&payment.top_up_id)
        .bind(payment.credit_type.as_str())
        .bind(payment.credits)
        .bind(payment.create_time)
        .bind(payment.expire_time)
        .execute(&self.db.owner)
        .await
        .unwrap();
        self.confirm_payments().await;
    }

    /// Grants stand here for purchases and periods: what they would have left
    /// beside the ledger, which the books are checked against.
    async fn account_for_grants(&self) {
        self.db
            .execute(
                "INSERT INTO top_ups (account_id, top_up_id, credit_type, credits, price_minor,
                        currency, status, provider, provider_reference, create_time, expire_time,
                        settle_time)
                 SELECT account_id, operation_id, credit_type, credits, 100, 'USD', 2, 'paddle',
                        '', create_time, create_time, create_time
                   FROM operations WHERE kind = 3
                     ON CONFLICT ON CONSTRAINT top_ups_pkey DO NOTHING;
                 INSERT INTO transactions
                 SELECT account_id, 'paddle', operation_id, create_time
                   FROM operations WHERE kind = 4
                     ON CONFLICT DO NOTHING;
                 INSERT INTO purchases
                 SELECT account_id, 'paddle', operation_id, 'line', credit_type, kind,
                        operation_id, lot_id, credits, 100, 0
                   FROM operations o
                  WHERE kind = 4 AND NOT EXISTS (
                        SELECT FROM purchases p
                         WHERE p.operation_kind = 4 AND p.operation_id = o.operation_id)",
            )
            .await;
    }

    /// All rows, without what differs between two runs by nature: ids of lots,
    /// and the hashes over them.
    async fn rows(&self) -> String {
        let mut all = String::new();
        for table in TABLES {
            // What takes credits back of a lot is keyed by the lot.
            let query = format!(
                "SELECT coalesce(string_agg(line, E'\\n' ORDER BY line), '') FROM (
                   SELECT regexp_replace((to_jsonb(t) - '{{lot_id,lot_ids,origin_lot_id,hash,last_hash,version}}'::text[]
                           || CASE WHEN '{table}' = 'accounts' THEN '{{\"create_time\":0}}'::jsonb
                                   ELSE '{{}}' END)::text,
                           ':[0-9a-f]{{8}}-[0-9a-f-]{{27}}\"', ':LOT\"') AS line
                     FROM {table} t) t"
            );
            let rows: String = sqlx::query_scalar(sqlx::AssertSqlSafe(query))
                .fetch_one(&self.db.owner)
                .await
                .unwrap();
            writeln!(all, "{table}\n{rows}").unwrap();
        }
        all
    }
}

/// An answer, without the ids of lots and the hashes over them.
fn shown(answer: &Result<Outcome, LedgerError>) -> String {
    let text = format!("{answer:#?}");
    let mut kept = String::new();
    let mut in_hash = false;
    for line in text.lines() {
        let trimmed = line.trim();
        in_hash |= trimmed.starts_with("last_hash");
        let is_lot = trimmed.len() >= 36
            && trimmed.trim_end_matches(',').chars().all(|c| c.is_ascii_hexdigit() || c == '-');
        if !in_hash && !is_lot && !trimmed.starts_with("version") {
            kept.push_str(trimmed);
        }
        in_hash &= !trimmed.starts_with(']');
    }
    // When the account was created is the database's to say.
    kept
}

#[tokio::test]
async fn a_batch_gives_exactly_what_its_commands_give_one_by_one() {
    Box::pin(play(histories(160))).await;
}

#[tokio::test]
async fn a_batch_with_purchases_gives_exactly_what_its_commands_give_one_by_one() {
    Box::pin(play(billing_histories(160))).await;
}

/// Plays histories on three databases each: in batches; one by one, by one that reads
/// each time; and one by one, by two that take turns and keep what they have written.
async fn play(strategy: impl Strategy<Value = Vec<Step>>) {
    let mut runner = TestRunner::deterministic();
    let (mut batches, mut singles) = (0, 0);
    for case in 0..10 {
        let history = strategy.new_tree(&mut runner).unwrap().current();
        let mut batched = Stage::new(1, 100).await;
        let mut single = Stage::new(1, 0).await;
        let mut turns = Stage::new(2, 100).await;
        let mut steps = history.into_iter().peekable();
        while let Some(step) = steps.next() {
            for stage in [&batched, &single, &turns] {
                let now = stage.clock.now();
                stage.clock.advance(step.at - now);
                stage.change(&step.change).await;
            }
            let Change::Command(first) = step.change else { continue };
            let mut commands = vec![first];
            // Those of a batch happen at one time, that of the first.
            // A check is answered by a lane of its own: it is in no batch.
            let joins = |change: &Change| matches!(change, Change::Command(command) if !matches!(command.action, Action::Check(_)));
            let is_check = matches!(commands[0].action, Action::Check(_));
            while let Some(next) =
                steps.next_if(|next| !is_check && commands.len() < 12 && joins(&next.change))
            {
                if let Change::Command(command) = next.change {
                    commands.push(command);
                }
            }
            batched.together(commands.clone()).await;
            single.one_by_one(commands.clone()).await;
            turns.one_by_one(commands).await;
        }
        let suspended = |answer: &String| answer.contains("SuspensionSet");
        for (how, stage) in [("batched", &batched), ("in turns", &turns)] {
            for (position, (one, other)) in stage.answers.iter().zip(&single.answers).enumerate() {
                if !suspended(one) {
                    assert_eq!(one, other, "case {case}, {how}, command {position}");
                }
            }
            assert_eq!(stage.rows().await, single.rows().await, "case {case}, {how}");
        }
        let transactions = "SELECT count(DISTINCT xmin::text) FROM ledger_entries";
        batches += batched.db.count(transactions).await;
        singles += single.db.count(transactions).await;
        for stage in [batched, single, turns] {
            for ledger in &stage.ledgers {
                ledger.close().await;
            }
            stage.account_for_grants().await;
            stage.db.finish().await;
        }
    } // They really were batches.
    println!("entries came in {batches} transactions, one by one in {singles}");
    assert!(batches * 3 < singles * 2, "{batches} {singles}");
}
