//! Watches the token store and the key of the certificate while the service runs: what changed takes effect within a quarter of
//! a second, and what is wrong is an alert of the shard and a line of the log.

use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::time::sleep;

use super::AppState;
use super::tls::Tls;
use townlet_wire::telemetry::Alert;

const INTERVAL: Duration = Duration::from_millis(250);

/// Watches until the service stops.
pub(super) async fn watch(app: Arc<AppState>, tls: Option<Arc<Tls>>) {
    let mut stop = app.stop.clone();
    let mut reported = Vec::new();
    loop {
        let (watched, key) = (Arc::clone(&app), tls.clone());
        // Reading may have to wait for the disk.
        let checked = tokio::task::spawn_blocking(move || check(&watched, key.as_deref())).await;
        if let Ok(alerts) = checked
            && alerts != reported
        {
            report(&app, &reported, &alerts);
            reported = alerts;
        }
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => return,
            () = sleep(INTERVAL) => {}
        }
    }
}

fn check(app: &AppState, tls: Option<&Tls>) -> Vec<Alert> {
    let mut alerts = app.authenticator.lock().unwrap_or_else(PoisonError::into_inner).check();
    let key = tls.and_then(Tls::trouble).map(|why| {
        let hint = "The certificate read before stays in use. Mend the file; it is read again when it changes.";
        alert("tls_key", "critical", format!("the certificate cannot be renewed: {why}"), hint)
    });
    alerts.extend(key);
    alerts
}

fn report(app: &AppState, before: &[Alert], now: &[Alert]) {
    for alert in now.iter().filter(|alert| !before.contains(alert)) {
        app.log.write(&format!("{}: {} {}", alert.severity, alert.message, alert.hint));
    }
    for alert in before.iter().filter(|alert| now.iter().all(|other| other.name != alert.name)) {
        app.log.write(&format!("no longer: {}", alert.message));
    }
    app.shard.report_credentials(now.to_vec());
}

pub(super) fn alert(name: &str, severity: &str, message: String, hint: &str) -> Alert {
    Alert { name: name.into(), severity: severity.into(), message, hint: hint.into(), ..Alert::default() }
}
