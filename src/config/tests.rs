//! What settings say, and what they must not show.

use super::*;

#[test]
fn a_flag_beats_a_file_and_an_unknown_name_is_an_error() {
    #[derive(Serialize)]
    struct Flags {
        lanes: usize,
    }
    let dir = std::env::temp_dir().join(format!("creditgate-config-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    let file = dir.join("settings.toml");
    std::fs::write(&file, "lanes = 7\nqueue = 9\n").unwrap();
    let settings = Settings::load(Some(&file), Flags { lanes: 3 }).unwrap();
    assert_eq!((settings.lanes, settings.queue), (3, 9));
    std::fs::write(&file, "lame = 7\n").unwrap();
    let error = Settings::load(Some(&file), Flags { lanes: 3 }).unwrap_err().to_string();
    assert!(error.contains("lame"), "{error}");
    std::fs::remove_dir_all(&dir).unwrap();
}

#[test]
fn secrets_are_divided_by_commas_and_an_error_does_not_show_them() {
    for (text, count) in [
        ("", Some(0)),
        (" ", Some(0)),
        ("pdl_ntfset_1", Some(1)),
        ("pdl_ntfset_1, pdl_ntfset_2", Some(2)),
        ("a,b,c,d", Some(4)),
        ("a,b,c,d,e", None),
        ("hunter2,", None),
        ("hunter 2", None),
    ] {
        let settings = Settings { paddle_secrets: Some(Secret::new(text)), ..Settings::default() };
        let secrets = settings.paddle_secrets();
        assert_eq!(secrets.as_ref().ok().map(Vec::len), count, "{text:?}");
        if let Err(error) = secrets {
            assert!(!error.to_string().contains("hunter"), "{error}");
        }
    }
}

#[test]
fn a_secret_is_never_shown() {
    let settings = Settings {
        database_url: Some(Secret::new("postgres://a:hunter2@b/c")),
        ..Settings::default()
    };
    assert!(!format!("{settings:?}").contains("hunter2"));
}
