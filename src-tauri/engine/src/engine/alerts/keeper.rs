//! Alerts that survive the program: they go into the catalogue, and the newest come back at the start.
//!
//! Invariants: nobody who raises an alert waits for the disk; what is kept is bounded by count and age (the
//! catalogue's rule). It keeps what it has written, not a queue: a slow disk gets the newest state of each
//! alert once.

use std::sync::{Arc, Weak};
use std::time::{Duration, SystemTime};

use serde::Deserialize;
use tokio::sync::watch;
use tracing::warn;
use uuid::Uuid;

use super::super::handle::{Inner, blocking};
use super::ledger::KEPT;
use crate::api::{Alert, Timestamp};
use crate::store::{AlertRow, Catalogue, StoreError, micros, wall};

/// Changes are written together, at this pace at most.
const PACE: Duration = Duration::from_secs(1);
/// At the end of the program the disk has this long.
const END: Duration = Duration::from_millis(1_500);

/// The newest alerts of earlier runs, newest first. Those that lasted when the program ended are over now:
/// what still lasts is told anew. Blocks.
pub(in super::super) fn recall(catalogue: &Catalogue, now: SystemTime) -> Vec<Alert> {
    let rows = match catalogue.alerts(u32::try_from(KEPT).unwrap_or(u32::MAX)) {
        Ok(rows) => rows,
        Err(error) => {
            warn!(tag = "STORAGE", %error, "earlier alerts cannot be read");
            return Vec::new();
        }
    };
    let mut alerts: Vec<Alert> = rows.into_iter().filter_map(read).collect();
    for alert in alerts.iter_mut().filter(|alert| alert.until.is_none()) {
        alert.until = Some(now.into());
        alert.back.clone_from(&alert.cameras);
        if let Some(row) = row(alert)
            && let Err(error) = catalogue.put_alert(&row)
        {
            warn!(tag = "STORAGE", %error, "an alert of an earlier run cannot be ended");
        }
    }
    alerts
}

/// Writes what changes, until the engine ends.
pub(in super::super) async fn keep(
    engine: Weak<Inner>,
    catalogue: Arc<Catalogue>,
    mut changes: watch::Receiver<u64>,
) {
    let (mut written, mut failing) = (0, false);
    loop {
        let Some(inner) = engine.upgrade() else { return };
        let stop = inner.stop.clone();
        let ends = stop.is_cancelled();
        let (alerts, newest) = inner.board.unwritten(written);
        drop(inner);
        if !alerts.is_empty() {
            let catalogue = Arc::clone(&catalogue);
            let write = blocking(move || put_all(&catalogue, &alerts));
            let done = if ends { tokio::time::timeout(END, write).await.ok() } else { Some(write.await) };
            match done {
                Some(Ok(())) => (written, failing) = (newest, false),
                Some(Err(error)) if !failing => {
                    failing = true;
                    warn!(tag = "STORAGE", %error, "alerts cannot be kept; tried again with the next one");
                }
                Some(Err(_)) | None => {}
            }
        }
        if ends {
            return;
        }
        let next = async {
            tokio::time::sleep(PACE).await;
            changes.changed().await.is_ok()
        };
        // At the end, what came last is still written.
        if let Some(false) = stop.run_until_cancelled(next).await {
            return;
        }
    }
}

fn put_all(catalogue: &Catalogue, alerts: &[Alert]) -> Result<(), StoreError> {
    alerts.iter().filter_map(row).try_for_each(|row| catalogue.put_alert(&row))
}

/// An alert as the catalogue keeps it: what is searched for in columns, and the whole of it as JSON.
fn row(alert: &Alert) -> Option<AlertRow> {
    let at = |time: &Timestamp| Timestamp::read(time.as_str()).map(micros);
    let kind = serde_json::to_value(alert.kind).ok()?.as_str()?.to_owned();
    Some(AlertRow {
        id: Uuid::parse_str(&alert.id).ok()?,
        kind,
        camera: alert.camera.clone(),
        since_us: at(&alert.since)?,
        until_us: alert.until.as_ref().and_then(at),
        message: alert.message.clone(),
        detail: serde_json::to_string(alert).ok(),
    })
}

/// The cameras that a kept alert is about.
pub(in super::super) fn about(row: &AlertRow) -> Vec<String> {
    #[derive(Deserialize)]
    struct About {
        cameras: Vec<String>,
    }
    let told = row.detail.as_deref().and_then(|detail| serde_json::from_str::<About>(detail).ok());
    told.map_or_else(|| row.camera.iter().cloned().collect(), |about| about.cameras)
}

/// `None` for what another version of Nightjar wrote in another form.
fn read(row: AlertRow) -> Option<Alert> {
    let alert: Alert = serde_json::from_str(&row.detail?).ok()?;
    // The columns are what a repair of the catalogue would keep.
    Some(Alert {
        id: row.id.to_string(),
        since: wall(row.since_us).into(),
        until: row.until_us.map(|at| wall(at).into()),
        ..alert
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::api::{AlertKind, Cause};

    #[test]
    fn a_kept_alert_tells_whom_it_is_about() {
        let row = |camera: Option<&str>, detail: Option<&str>| AlertRow {
            id: Uuid::from_u128(1),
            kind: "camera_lost".into(),
            camera: camera.map(str::to_owned),
            since_us: 0,
            until_us: None,
            message: String::new(),
            detail: detail.map(str::to_owned),
        };
        assert_eq!(about(&row(None, Some(r#"{"cameras":["door","yard"],"kind":"new"}"#))), ["door", "yard"]);
        assert_eq!(about(&row(Some("door"), None)), ["door"]);
        assert_eq!(about(&row(Some("door"), Some("{"))), ["door"]);
        assert!(about(&row(None, Some("7"))).is_empty());
    }

    #[test]
    fn an_alert_comes_back_as_it_was_and_one_that_lasted_is_over() {
        let dir = tempfile::tempdir().unwrap();
        let (catalogue, _) = Catalogue::open(&dir.path().join("c.db")).unwrap();
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(1_795_186_242 + seconds);
        let alert = |n: u128, until: Option<SystemTime>| Alert {
            id: Uuid::from_u128(n).to_string(),
            kind: AlertKind::CameraLost,
            camera: None,
            cameras: vec!["door".into(), "yard".into()],
            back: Vec::new(),
            since: at(n as u64).into(),
            until: until.map(Timestamp::from),
            cause: Some(Cause { code: "stalled".into(), class: "RTSP_NETWORK".into(), detail: "x".into() }),
            message: "gone".into(),
            remedy: "look".into(),
            quiet: true,
            disk: None,
        };
        let (over, lasting) = (alert(1, Some(at(5))), alert(2, None));
        put_all(&catalogue, &[over.clone(), lasting.clone()]).unwrap();
        let ended = Alert { until: Some(at(60).into()), back: lasting.cameras.clone(), ..lasting };
        assert_eq!(recall(&catalogue, at(60)), [ended.clone(), over.clone()]);
        assert_eq!(recall(&catalogue, at(90)), [ended, over], "it was written that it is over");
    }
}
