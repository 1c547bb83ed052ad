//! One request, as a host makes it.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use base64::prelude::*;
use nkeys::XKey;
use serde::Deserialize;
use serde_json::{json, Value};
use tokio::sync::Mutex;
use wasmcloud_secrets_client::{Client, SecretClientError};
use wasmcloud_secrets_types::{Application, Context, Secret, SecretRequest};

/// What to ask for, and how often.
#[derive(Clone, Deserialize)]
pub struct Get {
    pub prefix: String,
    pub backend: String,
    pub key: String,
    pub field: Option<String>,
    pub version: Option<String>,
    pub entity_jwt: String,
    pub host_jwt: String,
    pub application: Option<String>,
    #[serde(default)]
    pub policy: String,
    #[serde(default)]
    pub count: usize,
    #[serde(default)]
    pub seconds: f64,
    /// Ask for `<key>0` to `<key><keys - 1>` in turn, instead of for `key`.
    #[serde(default)]
    pub keys: usize,
    #[serde(default)]
    pub in_flight: usize,
    pub expect: Option<String>,
}

impl Get {
    pub fn spread(&self, number: usize) -> Cow<'_, Get> {
        if self.keys == 0 {
            return Cow::Borrowed(self);
        }
        let key = format!("{}{}", self.key, number % self.keys);
        Cow::Owned(Get { key, ..self.clone() })
    }
}

/// The clients of one host: one for each backend, with the transit key that it was told.
pub struct Hosts {
    nats: async_nats::Client,
    clients: Mutex<HashMap<String, Arc<Client>>>,
}

impl Hosts {
    pub fn new(nats: async_nats::Client) -> Self {
        Self { nats, clients: Mutex::default() }
    }

    pub async fn forget(&self) {
        self.clients.lock().await.clear();
    }

    pub async fn get(&self, get: &Get) -> Result<Secret, SecretClientError> {
        let client = self.client(get).await?;
        let request = SecretRequest {
            key: get.key.clone(),
            field: get.field.clone(),
            version: get.version.clone(),
            context: Context {
                entity_jwt: get.entity_jwt.clone(),
                host_jwt: get.host_jwt.clone(),
                application: Application {
                    name: get.application.clone(),
                    policy: get.policy.clone(),
                },
            },
        };
        client.get(request, XKey::new()).await
    }

    async fn client(&self, get: &Get) -> Result<Arc<Client>, SecretClientError> {
        let mut clients = self.clients.lock().await;
        let name = format!("{} {}", get.prefix, get.backend);
        if let Some(client) = clients.get(&name) {
            return Ok(client.clone());
        }
        let made = Client::new(&get.backend, &get.prefix, self.nats.clone()).await?;
        let client = Arc::new(made);
        clients.insert(name, client.clone());
        Ok(client)
    }
}

pub async fn answer(hosts: &Hosts, get: &Get) -> Value {
    match hosts.get(get).await {
        Ok(Secret { version, string_secret, binary_secret }) => json!({
            "secret": {
                "version": version,
                "string": string_secret,
                "binary": binary_secret.map(|bytes| BASE64_STANDARD.encode(bytes)),
            }
        }),
        Err(error) => json!({ "error": { "kind": kind_of(&error), "text": text_of(&error) } }),
    }
}

/// Whether a request was not answered, and may be made again.
pub fn is_unanswered(error: &SecretClientError) -> bool {
    matches!(
        error,
        SecretClientError::SendSecretRequest(_) | SecretClientError::RequestServerXkey(_)
    )
}

pub fn kind_of(error: &SecretClientError) -> &'static str {
    use async_nats::RequestErrorKind::{NoResponders, TimedOut};
    match error {
        SecretClientError::Server(_) => "server",
        SecretClientError::MissingSecret(_) => "missing",
        SecretClientError::SendSecretRequest(sent) | SecretClientError::RequestServerXkey(sent) => {
            match sent.kind() {
                NoResponders => "no-responders",
                TimedOut => "timeout",
                _ => "unsent",
            }
        }
        _ => "unreadable",
    }
}

fn text_of(error: &SecretClientError) -> String {
    match error {
        SecretClientError::Server(text) => text.clone(),
        other => other.to_string(),
    }
}
