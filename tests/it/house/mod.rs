//! What the tests live in: the server as a process, clients with a persona's token, and SQL beside it.

mod client;
pub mod files;
mod http;
mod server;

pub use client::{Client, declared, grpc_message};
pub use http::{Answer, Http};
pub use server::{Db, PASSWORD, Server, bare_command, fresh_url, run_to_its_end, serve_command};

/// Makes of each function `async fn(Server)` one test per engine, so that none is for one of them only.
/// Without `STAGEGATE_TEST_POSTGRES_URL` the tests on PostgreSQL say that they were skipped.
macro_rules! on_both_engines {
    ($($(#[$attribute:meta])* $name:ident),* $(,)?) => {
        mod sqlite {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[$attribute])*
                async fn $name() {
                    super::$name(crate::house::Server::on(crate::house::Db::Sqlite).await.expect("SQLite is always there")).await;
                }
            )*
        }
        mod postgres {
            $(
                #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
                $(#[$attribute])*
                async fn $name() {
                    if let Some(server) = crate::house::Server::on(crate::house::Db::Postgres).await {
                        super::$name(server).await;
                    }
                }
            )*
        }
    };
}
