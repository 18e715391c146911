#![allow(clippy::unwrap_used)]

use super::*;
use crate::proto::{ReleaseCause, Rollover};

const TOML: &str = r#"
[scan_kinds.quick]
[scan_kinds.audit]
credit_type = "scan"
lease = "1h 30m"

[plans.pro.allowances.scan]
credits = 3
rollover = { capped = 5 }
[plans.pro.scans]
audit = { max_credits = 2 }
[plans.pro.prices.scan]
unit_price_minor = 2500
currency = "USD"

[policy]
low_balance = 0
[policy.causes]
target_unreachable = "restores"
"#;

const YAML: &str = r"
scan_kinds:
  quick: {}
  audit: { credit_type: scan, lease: 1h 30m }
plans:
  pro:
    allowances: { scan: { credits: 3, rollover: { capped: 5 } } }
    scans: { audit: { max_credits: 2 } }
    prices: { scan: { unit_price_minor: 2500, currency: USD } }
policy:
  low_balance: 0
  causes: { target_unreachable: restores }
";

fn catalog(text: &str) -> Catalog {
    from_toml(text).unwrap().into()
}

#[test]
fn toml_and_yaml_say_the_same() {
    let from_yaml: Catalog = from_yaml(YAML).unwrap().into();
    assert_eq!(catalog(TOML), from_yaml);
}

#[test]
fn the_friendly_form_becomes_the_contracts_catalog() {
    let catalog = catalog(TOML);
    assert_eq!(catalog.scan_kinds[0].name, "quick");
    assert_eq!(catalog.scan_kinds[0].credits, 0, "a free kind costs nothing");
    assert_eq!(catalog.scan_kinds[1].credits, 1, "one where nothing is said");
    assert_eq!(catalog.scan_kinds[1].default_lease.unwrap().seconds, 5_400);
    assert_eq!(catalog.scan_kinds[1].max_lease, None);
    let allowance = &catalog.plans[0].allowances[0];
    assert_eq!(allowance.rollover(), Rollover::Capped);
    assert_eq!(allowance.rollover_cap, 5);
    let policy = catalog.policy.unwrap();
    assert_eq!(policy.low_balance, Some(0));
    assert_eq!(policy.causes[0].cause(), ReleaseCause::TargetUnreachable);
    assert!(policy.causes[0].restores);
}

#[test]
fn a_mistake_is_shown_with_its_line_and_key() {
    let at = |from: &str, to: &str| {
        assert!(TOML.contains(from), "{from}");
        from_toml(&TOML.replace(from, to)).unwrap_err()
    };
    let error = at("lease =", "leese =");
    assert!(error.contains("line 5") && error.contains("leese"), "{error}");
    let error = at("1h 30m", "1 fortnight");
    assert!(error.contains("line 5") && error.contains("lease"), "{error}");
    let error = at("credits = 3", "credits = -3");
    assert!(error.contains("line 8") && error.contains("credits"), "{error}");
    let error = at("{ capped = 5 }", "\"some\"");
    assert!(error.contains("line 9") && error.contains("capped = N"), "{error}");
    let error = at("target_unreachable", "bad_weather");
    assert!(error.contains("bad_weather") && error.contains("platform_error"), "{error}");
}

#[test]
fn a_mistake_in_yaml_is_shown_with_its_path_and_line() {
    let error = from_yaml(&YAML.replace("lease:", "leese:")).unwrap_err();
    assert!(error.contains("audit") && error.contains("leese"), "{error}");
    assert!(error.contains("line 4"), "{error}");
}

#[test]
fn a_name_that_is_there_twice_is_refused() {
    let error = from_yaml("scan_kinds:\n  a: {}\n  a: {}\n").unwrap_err();
    assert!(error.contains("`a` is there twice"), "{error}");
}

#[test]
fn the_file_is_named_and_its_extension_counts() {
    let error = read(Path::new("/nowhere/catalog.toml")).unwrap_err();
    assert!(error.to_string().contains("/nowhere/catalog.toml"));
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("LICENSE");
    assert!(matches!(read(&manifest), Err(CatalogFileError::Extension { .. })));
}

#[test]
fn the_catalogs_that_come_with_the_program_are_well_formed() {
    for name in ["demo", "prebreach", "webriskops"] {
        let path =
            Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("deploy/catalogs/{name}.toml"));
        let catalog = read(&path).unwrap();
        for plan in &catalog.plans {
            for scan in &plan.scans {
                let known = catalog.scan_kinds.iter().any(|kind| kind.name == scan.scan_kind);
                assert!(known, "{name}: plan {} has unknown {}", plan.name, scan.scan_kind);
            }
        }
    }
}
