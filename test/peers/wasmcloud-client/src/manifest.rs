//! What wadm makes of a manifest: whether it is one, and which secrets a host is told to fetch.

use std::collections::HashMap;

use serde_json::{json, Value};
use wadm_types::validation::validate_manifest_bytes;
use wadm_types::{Manifest, Properties, SecretProperty, TraitProperty};
use wasmcloud_secrets_types::SecretConfig;

pub async fn read(text: &str) -> Value {
    match validate_manifest_bytes(text).await {
        Ok((manifest, failures)) => json!({
            "failures": failures.iter().map(|failure| failure.msg.clone()).collect::<Vec<_>>(),
            "secrets": secrets(&manifest),
        }),
        Err(error) => json!({ "failures": [format!("{error:#}")] }),
    }
}

/// Those of components and providers by themselves, and those of their links; `of` is the one with whose token they are fetched,
/// where that is known from the manifest: a link's secrets are its provider's.
fn secrets(manifest: &Manifest) -> Vec<Value> {
    let mut found = Vec::new();
    for component in manifest.components() {
        let own = match &component.properties {
            Properties::Component { properties } => &properties.secrets,
            Properties::Capability { properties } => &properties.secrets,
        };
        found.extend(own.iter().map(|secret| told(manifest, &component.name, secret)));
        for one in component.traits.iter().flatten() {
            let TraitProperty::Link(link) = &one.properties else { continue };
            let source = link.source.iter().flat_map(|source| &source.secrets);
            found.extend(source.map(|secret| told(manifest, &component.name, secret)));
            let target = link.target.secrets.iter();
            found.extend(target.map(|secret| told(manifest, &link.target.name, secret)));
        }
    }
    found
}

/// A reference as wadm stores it for hosts, and the request that a host makes of it.
fn told(manifest: &Manifest, of: &str, secret: &SecretProperty) -> Value {
    let SecretProperty { name, properties } = secret;
    let policies = manifest.policy_lookup();
    let mut policy = policies
        .get(&properties.policy)
        .map(|policy| policy.properties.clone())
        .unwrap_or_default();
    let backend = policy.remove("backend").unwrap_or_default();
    let more: HashMap<String, Value> = policy.into_iter().map(|(key, value)| (key, json!(value))).collect();
    let config = SecretConfig::new(
        name.clone(),
        backend.clone(),
        properties.key.clone(),
        properties.field.clone(),
        properties.version.clone(),
        more,
    );
    let request = config.try_into_request("", "", Some(&manifest.metadata.name));
    let request = request.expect("a policy of strings is JSON");
    json!({
        "of": of,
        "name": name,
        "backend": backend,
        "key": request.key,
        "field": request.field,
        "version": request.version,
        "application": request.context.application.name,
        "policy": request.context.application.policy,
    })
}
