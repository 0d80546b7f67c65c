//! Stores for tests: SQLite in a folder of its own, and PostgreSQL in a database of its own when
//! `STAGEGATE_TEST_POSTGRES_URL` names a server where databases may be created.

use sea_orm::{ConnectionTrait, Database};

use super::Store;
use crate::clock;

/// A store, and what has to live as long as it.
pub struct TestStore {
    /// Empty but for the schema.
    pub store: Store,
    _folder: Option<tempfile::TempDir>,
}

/// One store of each engine that can be tested here.
pub async fn stores() -> Vec<TestStore> {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open(&super::sqlite_url(&folder.path().join("test.db"))).await.unwrap();
    let mut stores = vec![TestStore { store, _folder: Some(folder) }];
    if let Ok(server) = std::env::var("STAGEGATE_TEST_POSTGRES_URL") {
        let name = format!("test_{}", clock::new_uid());
        let connection = Database::connect(&server).await.unwrap();
        connection.execute_unprepared(&format!("CREATE DATABASE {name}")).await.unwrap();
        let mut url = url::Url::parse(&server).unwrap();
        url.set_path(&name);
        stores.push(TestStore { store: Store::open(url.as_str()).await.unwrap(), _folder: None });
    }
    stores
}
