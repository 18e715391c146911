//! What came out, as tables.

use crate::{
    bench::{Conditions, Figure, Promise, Report, Shed, Spread, Wanted},
    cli::table::{Column, Table, block},
};

pub(super) fn report(report: &Report) -> String {
    let mut text = conditions(&report.conditions);
    if !report.promises.is_empty() {
        text.push('\n');
        text.push_str(&promises(&report.promises));
    }
    text.push('\n');
    text.push_str(&figures(&report.figures));
    text.push('\n');
    text.push_str(&costs(&report.figures));
    let mut rest = Vec::new();
    if let Some(memory) = report.memory {
        let (idle, most) = (memory.idle >> 20, memory.most >> 20);
        rest.push(("gate's memory", format!("{idle} MiB idle, {most} MiB at most")));
    }
    if report.checked_accounts > 0 {
        let (accounts, findings) = (report.checked_accounts, report.findings.len());
        rest.push(("books", format!("{accounts} accounts checked, {findings} findings")));
    }
    text.push('\n');
    text.push_str(&block(&rest));
    for finding in &report.findings {
        text.push_str(&format!("{finding}\n"));
    }
    for figure in &report.figures {
        if let Some(Shed { calls, latency }) = figure.shed {
            let (p50, p99) = (number(latency.p50), number(latency.p99));
            let (name, who) = (&figure.name, who(figure));
            text.push_str(&format!(
                "{name}, {who}: {calls} calls shed, within {p50} ms (p50), {p99} ms (p99)\n"
            ));
        }
        for (what, count) in &figure.failures {
            text.push_str(&format!("{}, {}: {count} x {what}\n", figure.name, who(figure)));
        }
    }
    text
}

fn conditions(conditions: &Conditions) -> String {
    let mut pairs = vec![
        (
            "creditgate",
            format!(
                "{}{}",
                conditions.version,
                if conditions.optimized { "" } else { ", a debug build: its figures mean nothing" }
            ),
        ),
        ("machine", format!("{} cores, {}", conditions.cores, conditions.processor)),
    ];
    if !conditions.postgres.is_empty() {
        let settings: Vec<String> =
            conditions.settings.iter().map(|(name, value)| format!("{name}={value}")).collect();
        pairs.push(("PostgreSQL", format!("{}, {}", conditions.postgres, settings.join(" "))));
    }
    let history = match conditions.history {
        0 => String::new(),
        count => format!("{count} reservations of before, "),
    };
    pairs.push((
        "run",
        format!(
            "{} accounts, {history}{} rounds of {} s a slot; median (least - most) of the rounds",
            conditions.accounts, conditions.rounds, conditions.seconds
        ),
    ));
    block(&pairs)
}

fn promises(promises: &[Promise]) -> String {
    let mut table = Table::new([
        Column::Left("COMPARED"),
        Column::Right("MEASURED"),
        Column::Left("ROUNDS"),
        Column::Right("WANTED"),
        Column::Left(""),
    ]);
    for promise in promises {
        let Promise { what, measured, wanted, unit, met } = promise;
        let value = |value: f64| format!("{}{}", number(value), suffix(unit));
        let wanted = match wanted {
            Some(Wanted::AtLeast(bound)) => format!(">= {}", value(*bound)),
            Some(Wanted::AtMost(bound)) => format!("<= {}", value(*bound)),
            Some(Wanted::Below(bound)) => format!("< {}", value(*bound)),
            None => String::new(),
        };
        let verdict = match met {
            Some(true) => "kept",
            Some(false) => "NOT KEPT",
            None => "",
        };
        table.row([
            what.clone(),
            value(measured.median),
            rounds(measured),
            wanted,
            verdict.to_owned(),
        ]);
    }
    table.render()
}

/// "1.2 - 1.4", or nothing where there was one round.
fn rounds(spread: &Spread) -> String {
    if spread.low.total_cmp(&spread.high).is_eq() {
        return String::new();
    }
    format!("{} - {}", number(spread.low), number(spread.high))
}

fn suffix(unit: &str) -> String {
    match unit {
        "x" => "x".to_owned(),
        unit => format!(" {unit}"),
    }
}

fn who(figure: &Figure) -> &'static str {
    figure.slot.contestant.name()
}

fn figures(figures: &[Figure]) -> String {
    let mut table = Table::new([
        Column::Left("LOAD"),
        Column::Left("BY"),
        Column::Right("PER SECOND"),
        Column::Left(""),
        Column::Left("ROUNDS"),
        Column::Right("P50 MS"),
        Column::Right("P90"),
        Column::Right("P99"),
        Column::Right("P99.9"),
        Column::Right("MAX"),
    ]);
    for figure in figures {
        let latency = &figure.latency;
        table.row([
            figure.name.clone(),
            who(figure).to_owned(),
            number(figure.rate.median),
            figure.unit.to_owned(),
            rounds(&figure.rate),
            number(latency.p50),
            number(latency.p90),
            number(latency.p99),
            number(latency.p999),
            number(latency.max),
        ]);
    }
    table.render()
}

/// What each costs: of the machine, and of the disk.
fn costs(figures: &[Figure]) -> String {
    let mut table = Table::new([
        Column::Left("COST, CPU SECONDS OF 1,000"),
        Column::Left("BY"),
        Column::Right("CLIENT"),
        Column::Right("SERVER"),
        Column::Right("POSTGRES"),
        Column::Right("A BATCH HAS"),
        Column::Right("DATABASE BYTES EACH"),
        Column::Right("LOG BYTES EACH"),
    ]);
    let shown = |value: Option<f64>| value.map(number).unwrap_or_default();
    for figure in figures {
        table.row([
            figure.name.clone(),
            who(figure).to_owned(),
            shown(figure.cpu.client),
            shown(figure.cpu.server),
            shown(figure.cpu.postgres),
            shown(figure.batch),
            shown(figure.database_bytes),
            shown(figure.log_bytes),
        ]);
    }
    table.render()
}

/// Three digits are as many as a measurement is good for, and no digit before
/// the point is left out.
fn number(value: f64) -> String {
    match value.abs() {
        at if at >= 99.95 => format!("{value:.0}"),
        at if at >= 9.995 => format!("{value:.1}"),
        at if at >= 0.995 => format!("{value:.2}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_all_before_the_point() {
        let shown = [12_345.6, 123.4, 12.34, 1.234, 0.1234, 0.0].map(number);
        assert_eq!(shown, ["12346", "123", "12.3", "1.23", "0.123", "0.000"]);
    }
}
