//! `creditgate doctor`: what `serve` would find.

use serde_json::json;

use super::{
    CliError, Outcome, Output,
    serve::ServeArgs,
    table::{Column, Table},
};
use crate::server::doctor::{Finding, Health, examine};

/// What `--help` says at its end.
pub(super) const EXAMPLES: &str = "Takes the options of `serve`, its settings file and its \
environment, and changes nothing.\nExits 0 where a server would start and serve, 1 where it \
would not, or would lose credits in a crash.\n\nExample:\n  creditgate doctor --config /etc/creditgate/settings.toml";

pub(super) async fn run(out: &Output, args: ServeArgs) -> Result<Outcome, CliError> {
    let settings = args.settings()?;
    let found = examine(&settings).await;
    let list: Vec<_> = found.iter().map(json_of).collect();
    out.document(text(&found).trim_end(), &json!({ "findings": list }))?;
    let is_bad = found.iter().any(|finding| finding.health == Health::Bad);
    Ok(if is_bad { Outcome::Code(1) } else { Outcome::Done })
}

fn text(found: &[Finding]) -> String {
    let columns = [Column::Left(""), Column::Left("CHECKED"), Column::Left("FOUND")];
    let mut table = Table::new(columns);
    for Finding { what, health, said } in found {
        table.row([word(*health).to_owned(), (*what).to_owned(), said.clone()]);
    }
    table.render()
}

fn word(health: Health) -> &'static str {
    match health {
        Health::Good => "ok",
        Health::Warning => "WARNING",
        Health::Bad => "BAD",
    }
}

fn json_of(finding: &Finding) -> serde_json::Value {
    let Finding { what, health, said } = finding;
    json!({ "checked": what, "health": word(*health).to_lowercase(), "found": said })
}
