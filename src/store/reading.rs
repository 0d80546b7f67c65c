//! Connections that only read. Of a call's queries each row is counted as it comes ([`crate::memory`]), so that a long
//! answer is refused before it is held.

use std::pin::{Pin, pin};

use futures::StreamExt;
use sea_orm::sqlx::{self, Row as _, Sqlite, TypeInfo as _, ValueRef as _};
use sea_orm::{ConnectionTrait, DatabaseTransaction, DbBackend, DbErr, ExecResult, QueryResult, Statement, StreamTrait};

use super::StoreError;
use crate::memory::{self, Held};

/// What a row, the value that is made of it and the text of that in an answer take for each byte in the row.
const COPIES: usize = 3;
/// What a column takes besides its bytes.
const COLUMN: usize = 32;

/// A connection or a transaction that only reads.
#[derive(Clone)]
pub struct Reading<C>(pub(super) C);

#[async_trait::async_trait]
impl<C: ConnectionTrait + StreamTrait> ConnectionTrait for Reading<C> {
    fn get_database_backend(&self) -> DbBackend {
        ConnectionTrait::get_database_backend(&self.0)
    }

    async fn execute_raw(&self, statement: Statement) -> Result<ExecResult, DbErr> {
        self.0.execute_raw(statement).await
    }

    async fn execute_unprepared(&self, text: &str) -> Result<ExecResult, DbErr> {
        self.0.execute_unprepared(text).await
    }

    async fn query_one_raw(&self, statement: Statement) -> Result<Option<QueryResult>, DbErr> {
        let row = self.0.query_one_raw(statement).await?;
        if let (Some(bytes), Some(held)) = (row.as_ref().map(size), memory::current()) {
            take(&held, bytes).await?;
        }
        Ok(row)
    }

    async fn query_all_raw(&self, statement: Statement) -> Result<Vec<QueryResult>, DbErr> {
        let Some(held) = memory::current() else { return self.0.query_all_raw(statement).await };
        let mut rows = Vec::new();
        let mut coming = pin!(self.0.stream_raw(statement).await?);
        while let Some(row) = coming.next().await {
            let row = row?;
            take(&held, size(&row)).await?;
            rows.push(row);
        }
        Ok(rows)
    }
}

impl<C: StreamTrait> StreamTrait for Reading<C> {
    type Stream<'a>
        = C::Stream<'a>
    where
        C: 'a;

    fn get_database_backend(&self) -> DbBackend {
        self.0.get_database_backend()
    }

    fn stream_raw<'a>(&'a self, statement: Statement) -> Pin<Box<dyn Future<Output = Result<Self::Stream<'a>, DbErr>> + 'a + Send>> {
        self.0.stream_raw(statement)
    }
}

impl Reading<DatabaseTransaction> {
    /// Ends a transaction.
    pub async fn done(self) -> Result<(), StoreError> {
        Ok(self.0.commit().await?)
    }
}

/// Takes room for a row. The call's own error says why there is none.
async fn take(held: &Held, bytes: usize) -> Result<(), DbErr> {
    held.grow(COPIES * bytes).await.map_err(|over| DbErr::Custom(over.to_string()))
}

/// The bytes of a row.
fn size(row: &QueryResult) -> usize {
    if let Some(row) = row.try_as_sqlite_row() {
        return (0..row.len()).map(|column| COLUMN + sqlite_bytes(row, column)).sum();
    }
    if let Some(row) = row.try_as_pg_row() {
        let bytes = |column| row.try_get_raw(column).ok().and_then(|value| value.as_bytes().ok().map(<[u8]>::len));
        return (0..row.len()).map(|column| COLUMN + bytes(column).unwrap_or_default()).sum();
    }
    0
}

/// The bytes of a text or blob. Other values are not touched: SQLite would turn them into texts.
fn sqlite_bytes(row: &<Sqlite as sqlx::Database>::Row, column: usize) -> usize {
    let Ok(value) = row.try_get_raw(column) else { return 0 };
    if value.is_null() || !["TEXT", "BLOB"].contains(&value.type_info().name()) {
        return 0;
    }
    <&[u8] as sqlx::Decode<Sqlite>>::decode(value).map_or(0, <[u8]>::len)
}
