//! `/metrics` and `/health` over plain HTTP, for the operator's own network.

use std::sync::Arc;

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header::CONTENT_TYPE},
    response::IntoResponse,
    routing,
};
use tokio::net::TcpListener;

use crate::metrics::Metrics;

/// Serves until the task is aborted.
pub(crate) async fn serve(listener: TcpListener, metrics: Arc<Metrics>) {
    let router = Router::new()
        .route("/metrics", routing::get(text))
        .route("/health", routing::get(health))
        .with_state(metrics);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the metrics server stopped");
    }
}

async fn text(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    ([(CONTENT_TYPE, kind)], metrics.encode())
}

async fn health(State(metrics): State<Arc<Metrics>>) -> impl IntoResponse {
    let (status, body) = if metrics.healthy() {
        (StatusCode::OK, r#"{"status":"ok"}"#)
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            r#"{"status":"the last commit failed; see the log"}"#,
        )
    };
    (status, [(CONTENT_TYPE, "application/json")], body)
}
