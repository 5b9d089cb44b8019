//! The admin server: how a run is doing, for machines. `/metrics` in the text format of Prometheus,
//! `/healthz` (the process lives) and `/readyz` (rows flow).
//!
//! It binds to loopback only: it knows no users. It runs on a thread of its own and reads counters;
//! nothing that it is asked can hold a pipeline up.

mod config;
mod inference;
mod metrics;

use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

pub use config::Config;
pub use inference::Inference;
pub use metrics::{Facts, Generation, Lag, SinkFacts, render};

/// Tells how the run is doing at the moment.
pub type Look = Arc<dyn Fn() -> Facts + Send + Sync>;

/// Starts the server; it ends with the process.
///
/// # Errors
/// When the address cannot be bound.
pub fn start(config: &Config, look: Look) -> Result<(), String> {
    let listen = config.listen;
    let failed = |e: std::io::Error| format!("cannot serve on {listen}: {e}; set `admin.listen` to a free address");
    // Bound before the thread starts, so that a taken port stops the run and not only the server.
    let listener = std::net::TcpListener::bind(listen).map_err(failed)?;
    listener.set_nonblocking(true).map_err(failed)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(failed)?;
    let body = move || {
        let served: std::io::Result<()> =
            runtime.block_on(async { axum::serve(tokio::net::TcpListener::from_std(listener)?, router(look)).await });
        if let Err(error) = served {
            tracing::error!(%error, "the admin server has ended");
        }
    };
    std::thread::Builder::new().name("admin".into()).spawn(body).map(drop).map_err(failed)
}

fn router(look: Look) -> Router {
    Router::new()
        .route("/metrics", get(metrics))
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(ready))
        .with_state(look)
}

async fn metrics(State(look): State<Look>) -> impl IntoResponse {
    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], render(&look()))
}

async fn ready(State(look): State<Look>) -> impl IntoResponse {
    match look().running {
        true => (StatusCode::OK, "ready\n"),
        false => (StatusCode::SERVICE_UNAVAILABLE, "starting, or going back to the last committed epoch\n"),
    }
}
