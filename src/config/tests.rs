use super::*;

#[test]
fn a_public_address_needs_tls_or_a_word() {
    let open = ServeOptions { listen: Some(SocketAddr::from(([0, 0, 0, 0], 5_000))), ..ServeOptions::default() };
    assert!(matches!(open.check(), Err(ConfigError::Exposed(_))));
    assert!(ServeOptions { insecure_http: true, ..open.clone() }.check().is_ok());
    let half = ServeOptions { tls_cert: Some("a".into()), ..open };
    assert!(matches!(half.check(), Err(ConfigError::HalfTls)));
    assert!(ServeOptions::default().check().is_ok());
    let small = ServeOptions { memory_budget: Some(ByteSize::mib(15)), ..ServeOptions::default() };
    assert!(small.check().unwrap_err().to_string().contains("give at least 16.0 MiB"));
}

#[test]
fn the_file_fills_what_is_left_open_and_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stagegate.toml");
    std::fs::write(&path, "[data]\ndata_dir = 'x'\ndatabase_url = 'sqlite://y'\n[serve]\nlisten = '127.0.0.1:6000'\n").unwrap();
    let mut data = DataOptions { data_dir: Some("flag".into()), ..DataOptions::default() };
    let mut serve = ServeOptions::default();
    fill_from(Some(&path), &mut data, Some(&mut serve)).unwrap();
    assert_eq!(data.folder(), PathBuf::from("flag"));
    assert_eq!(data.database().unwrap().exposed(), "sqlite://y");
    assert_eq!(serve.address().port(), 6_000);
    let quotas = "[serve]\nquota_ledger_rows = 7\nquota_database_bytes = '500MiB'\nquota_artifact_bytes = '1KiB'\n";
    std::fs::write(&path, quotas).unwrap();
    let mut serve = ServeOptions { quota_ledger_rows: Some(5), ..Default::default() };
    fill_from(Some(&path), &mut data, Some(&mut serve)).unwrap();
    let expected = Quotas { ledger_rows: 5, database_bytes: 500 << 20, artifact_bytes: 1_024 };
    assert_eq!(serve.quotas(), expected, "a flag before the file, the file before the default");
    std::fs::write(&path, "[serve]\nlisten = '127.0.0.1:1'\nquota_ledger_row = 7\n").unwrap();
    assert!(matches!(fill_from(Some(&path), &mut data, Some(&mut serve)), Err(ConfigError::Parse { line: 3, .. })));
    std::fs::write(&path, "[serve]\nlisten = '127.0.0.1:1'\n\nquota_ledger_rows = 'five'\n").unwrap();
    assert!(matches!(fill_from(Some(&path), &mut data, Some(&mut serve)), Err(ConfigError::Parse { line: 4, .. })));
    std::fs::write(&path, "[data]\nbase_url = 'typo'\n").unwrap();
    assert!(matches!(fill_from(Some(&path), &mut data, None), Err(ConfigError::Parse { .. })));
}

#[test]
fn nothing_secret_is_in_what_debugging_shows_or_the_file_s_errors() {
    let url = "postgres://jo:hunterzwei@db/x";
    let data =
        DataOptions { database_url: Some(url.into()), artifacts_url: Some(url.into()), witness: vec![url.into()], ..Default::default() };
    assert!(!format!("{data:?} {:?}", data.database()).contains("hunter"), "{data:?}");
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("stagegate.toml");
    for line in ["witness = ", "database_ur = ", "data_dir = [", "checkpoint_sink = "] {
        std::fs::write(&path, format!("[data]\n{line}'{url}'\n")).unwrap();
        let error = fill_from(Some(&path), &mut DataOptions::default(), None).unwrap_err();
        assert!(!format!("{error} {error:?}").contains("hunter") && error.to_string().contains("line "), "{error}");
    }
}
