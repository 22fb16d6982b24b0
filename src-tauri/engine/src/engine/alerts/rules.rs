//! What is told, when and where: the configuration file's word, and what was set on the wall in front of it.

use std::io;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tokio::sync::watch;
use tracing::warn;
use url::Url;

use super::super::EngineHandle;
use super::super::handle::blocking;
use crate::api::{AlertSettings, AlertSettingsPatch, ApiError, ErrorCode};
use crate::config::{Alerts, Clock, ConfigStore};
use crate::env::Secret;

/// Seconds that a loss may have to last, at most.
const AFTER_MAX: u32 = 3_600;

/// What was set on the wall; what was not is the configuration file's.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
struct Own {
    #[serde(skip_serializing_if = "Option::is_none")]
    after_seconds: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none")]
    quiet: Option<Quiet>,
    #[serde(skip_serializing_if = "Option::is_none")]
    webhook: Option<Hook>,
}

/// Both ends, or off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Quiet {
    hours: Option<(String, String)>,
}

/// An address, or off. It is written for the store alone, which keeps it like a password.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Hook {
    #[serde(serialize_with = "for_the_store")]
    url: Option<Secret<String>>,
}

fn for_the_store<S: serde::Serializer>(
    url: &Option<Secret<String>>,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    url.as_ref().map(Secret::reveal).serialize(serializer)
}

/// The rules in force, and those who follow them.
#[derive(Debug)]
pub(in super::super) struct Rules {
    base: Alerts,
    own: tokio::sync::Mutex<Own>,
    now: watch::Sender<Alerts>,
}

impl Rules {
    /// Those of the file with what was set before. What cannot be read is told and left out. Blocks.
    pub(in super::super) fn load(base: Alerts, store: &dyn ConfigStore) -> Self {
        let own = read(store).unwrap_or_else(|error| {
            warn!(tag = "STORAGE", %error, "what was set of alerts cannot be read: the configuration holds");
            Own::default()
        });
        let now = watch::Sender::new(own.over(&base));
        Self { base, own: tokio::sync::Mutex::new(own), now }
    }

    pub(in super::super) fn now(&self) -> Alerts {
        self.now.borrow().clone()
    }

    pub(in super::super) fn watch(&self) -> watch::Receiver<Alerts> {
        self.now.subscribe()
    }
}

fn read(store: &dyn ConfigStore) -> io::Result<Own> {
    let Some(text) = store.load_alerts()? else { return Ok(Own::default()) };
    Ok(serde_json::from_str(&text)?)
}

impl Own {
    fn over(&self, base: &Alerts) -> Alerts {
        let mut rules = base.clone();
        if let Some(seconds) = self.after_seconds {
            rules.after_seconds = seconds;
        }
        if let Some(Quiet { hours }) = &self.quiet {
            let clock = |text: &String| Clock::try_from(text.clone()).ok();
            (rules.quiet_from, rules.quiet_until) = match hours {
                Some((from, until)) => (clock(from), clock(until)),
                None => (None, None),
            };
        }
        if let Some(Hook { url }) = &self.webhook {
            rules.webhook.clone_from(url);
        }
        rules
    }

    fn apply(&mut self, now: &Alerts, patch: AlertSettingsPatch) -> Result<(), ApiError> {
        let AlertSettingsPatch { after_seconds, quiet_from, quiet_until, webhook } = patch;
        if let Some(seconds) = after_seconds {
            if seconds.is_some_and(|seconds| seconds > AFTER_MAX) {
                return Err(ApiError::invalid("after_seconds", format!("must be 0 to {AFTER_MAX}")));
            }
            self.after_seconds = seconds;
        }
        if quiet_from.is_some() || quiet_until.is_some() {
            let end = |name: &str, change: Option<Option<String>>, old: Option<Clock>| match change {
                None => Ok(old),
                Some(None) => Ok(None),
                Some(Some(text)) => {
                    Clock::try_from(text).map(Some).map_err(|reason| ApiError::invalid(name, reason))
                }
            };
            let from = end("quiet_from", quiet_from, now.quiet_from)?;
            let until = end("quiet_until", quiet_until, now.quiet_until)?;
            let hours = match (from, until) {
                (Some(from), Some(until)) => Some((from.to_string(), until.to_string())),
                (None, None) => None,
                (None, Some(_)) => return Err(ApiError::invalid("quiet_from", "both ends, or none")),
                (Some(_), None) => return Err(ApiError::invalid("quiet_until", "both ends, or none")),
            };
            self.quiet = Some(Quiet { hours });
        }
        if let Some(change) = webhook {
            if let Some(url) = &change {
                check_url(url.reveal())?;
            }
            self.webhook = Some(Hook { url: change });
        }
        Ok(())
    }
}

fn check_url(text: &str) -> Result<(), ApiError> {
    let parsed = Url::parse(text).ok().filter(|url| matches!(url.scheme(), "http" | "https"));
    match parsed.filter(Url::has_host) {
        Some(_) => Ok(()),
        None => Err(ApiError::invalid("webhook", "must be an address that begins with http:// or https://")),
    }
}

fn tell(rules: &Alerts) -> AlertSettings {
    let host = |url: &Secret<String>| {
        let url = Url::parse(url.reveal()).ok()?;
        let host = url.host_str()?;
        Some(url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}")))
    };
    AlertSettings {
        after_seconds: rules.after_seconds,
        quiet_from: rules.quiet_from.map(|at| at.to_string()),
        quiet_until: rules.quiet_until.map(|at| at.to_string()),
        webhook: rules.webhook.as_ref().and_then(host),
    }
}

impl EngineHandle {
    /// What is told of cameras in trouble, when and where.
    #[must_use]
    pub fn alert_settings(&self) -> AlertSettings {
        tell(&self.rules().now())
    }

    /// Changes and keeps them. They hold at once.
    ///
    /// # Errors
    /// `Invalid` with the field, `Internal` where they cannot be kept: nothing is changed then.
    pub async fn change_alert_settings(&self, patch: AlertSettingsPatch) -> Result<AlertSettings, ApiError> {
        let rules = self.rules();
        let mut kept = rules.own.lock().await;
        let mut own = kept.clone();
        own.apply(&rules.now(), patch)?;
        let text = serde_json::to_string_pretty(&own).expect("texts and numbers have a JSON form");
        let store = Arc::clone(self.store());
        blocking(move || store.save_alerts(&text)).await.map_err(|error| {
            warn!(tag = "STORAGE", %error, "what was set of alerts cannot be kept");
            ApiError::new(ErrorCode::Internal, format!("It could not be saved: {error}."))
        })?;
        let now = own.over(&rules.base);
        *kept = own;
        rules.now.send_replace(now.clone());
        drop(kept);
        // What waited for its time may be due, or not yet.
        self.look_again();
        Ok(tell(&now))
    }

    /// The rules in force, and those after each change. The address in them may hold a secret.
    #[must_use]
    pub fn alert_rules(&self) -> watch::Receiver<Alerts> {
        self.rules().watch()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MemoryStore;

    fn patch(json: &str) -> AlertSettingsPatch {
        serde_json::from_str(json).expect("a patch")
    }

    #[test]
    fn what_was_set_counts_more_than_the_file_until_it_is_taken_back() {
        let base = Alerts {
            after_seconds: 20,
            webhook: Some("https://a.b/secret".to_owned().into()),
            ..Alerts::default()
        };
        let mut own = Own::default();
        own.apply(&base, patch(r#"{"quiet_from":"22:00","quiet_until":"07:30","webhook":null}"#)).unwrap();
        let now = own.over(&base);
        let told = tell(&now);
        assert_eq!((told.after_seconds, told.webhook), (20, None));
        assert_eq!((told.quiet_from.as_deref(), told.quiet_until.as_deref()), (Some("22:00"), Some("07:30")));
        own.apply(&now, patch(r#"{"quiet_until":"08:00","after_seconds":0}"#)).unwrap();
        let now = own.over(&base);
        assert_eq!((tell(&now).quiet_until.as_deref(), now.after_seconds), (Some("08:00"), 0));
        own.apply(&now, patch(r#"{"quiet_from":null,"quiet_until":null,"after_seconds":null}"#)).unwrap();
        assert_eq!(own.over(&base), Alerts { webhook: None, ..base });
    }

    #[test]
    fn what_is_not_valid_changes_nothing() {
        let (base, mut own) = (Alerts::default(), Own::default());
        for (json, field) in [
            (r#"{"after_seconds":3601}"#, "after_seconds"),
            (r#"{"quiet_from":"22:00"}"#, "quiet_until"),
            (r#"{"quiet_from":"24:00","quiet_until":"07:00"}"#, "quiet_from"),
            (r#"{"webhook":"ftp://a/b"}"#, "webhook"),
            (r#"{"webhook":"hush"}"#, "webhook"),
        ] {
            let error = own.apply(&base, patch(json)).expect_err(json);
            assert_eq!(error.field.as_deref(), Some(field), "{json}");
            assert!(!error.message.contains("hush"));
        }
        assert_eq!(own.over(&base), base);
    }

    #[test]
    fn the_address_is_kept_whole_and_told_by_its_host_alone() {
        let store = MemoryStore::default();
        let mut own = Own::default();
        own.apply(&Alerts::default(), patch(r#"{"webhook":"http://h.example:81/x?token=hush"}"#)).unwrap();
        store.save_alerts(&serde_json::to_string(&own).unwrap()).unwrap();
        let rules = Rules::load(Alerts::default(), &store);
        assert_eq!(rules.now().webhook.unwrap().reveal(), "http://h.example:81/x?token=hush");
        assert_eq!(
            tell(&Rules::load(Alerts::default(), &store).now()).webhook.as_deref(),
            Some("h.example:81")
        );
        assert!(!format!("{own:?}").contains("hush"));
        store.save_alerts("{").unwrap();
        assert_eq!(Rules::load(Alerts::default(), &store).now(), Alerts::default());
    }
}
