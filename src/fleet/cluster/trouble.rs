//! Turns what a client of Kubernetes says of a failure into what is wrong, in our words, and what to do.
//!
//! Never retries, and never hides what the API server said where we have no better words.

use std::error::Error;

/// What kind of failure it is, for whoever acts on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// There is no way to the API server: no kubeconfig, a context that is not there, nobody who answers.
    Away,
    Forbidden,
    /// The object, or its kind, is not there.
    Missing,
    /// Somebody else has changed the object meanwhile.
    Conflict,
    /// The object is there, and has no config of Tidegate.
    Foreign,
    Other,
}

/// A failure: what is wrong, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    pub cause: Cause,
    pub what: String,
    pub help: Option<String>,
}

impl Trouble {
    pub(super) fn new(cause: Cause, what: impl Into<String>) -> Self {
        Self { cause, what: what.into(), help: None }
    }

    pub(super) fn other(what: impl Into<String>) -> Self {
        Self::new(Cause::Other, what)
    }

    pub(super) fn help(mut self, help: impl Into<String>) -> Self {
        self.help = Some(help.into());
        self
    }
}

/// What was asked of the API server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) server: &'a str,
    /// As a role names it: `patch`.
    pub(super) verb: &'a str,
    /// As a role names it: `wasmplugins`.
    pub(super) resource: &'a str,
    pub(super) group: &'a str,
    /// As a user names it: `wasmplugin/tidegate`.
    pub(super) object: &'a str,
    pub(super) namespace: &'a str,
}

impl Asked<'_> {
    /// What an answer means that is none.
    pub(super) fn failed(&self, error: &kube::Error) -> Trouble {
        let Self { server, verb, resource, group, object, namespace } = *self;
        match error {
            kube::Error::Api(status) => match status.code {
                401 => Trouble::new(Cause::Forbidden, format!("{server} does not know who you are"))
                    .help("the credentials of the kubeconfig have expired or are wrong: log in to the cluster again"),
                403 => {
                    let who = user(&status.message).map_or("you".to_owned(), |user| format!("'{user}'"));
                    let of = if group.is_empty() { "of the core group".to_owned() } else { format!("of {group}") };
                    let may = if who == "you" { "do" } else { "does" };
                    let what = format!("{who} {may} not have the right to {verb} {resource} in namespace {namespace}");
                    Trouble::new(Cause::Forbidden, what).help(format!(
                        "give a Role there the verb `{verb}` on `{resource}` {of}; all that is needed stands in \
                         envoy/istio/README.md"
                    ))
                }
                404 if status.details.as_ref().is_none_or(|details| details.name.is_empty()) => {
                    Trouble::new(Cause::Missing, format!("{server} knows no {resource}"))
                        .help("the kind comes with Istio: WasmPlugin since 1.12, TrafficExtension since 1.30")
                }
                404 => Trouble::new(Cause::Missing, format!("there is no {object} in namespace {namespace}")),
                409 => Trouble::new(Cause::Conflict, format!("{object} was changed meanwhile")),
                413 => Trouble::new(Cause::Other, format!("{object}: the config is too large for the API server")),
                _ => Trouble::new(Cause::Other, format!("{object}: the API server refuses this: {}", status.message)),
            },
            other => {
                let root = root(other);
                let tls = root.contains("certificate") || root.contains("UnknownIssuer");
                let help = if tls {
                    "the kubeconfig's certificate-authority is not the one of this server"
                } else {
                    "look whether kubectl reaches it, with the same context: kubectl version"
                };
                Trouble::new(Cause::Away, format!("the API server {server} cannot be reached: {root}")).help(help)
            }
        }
    }
}

/// The user that a refusal names: `User "jane" cannot patch resource`.
fn user(message: &str) -> Option<&str> {
    message.split_once("User \"")?.1.split_once('"').map(|(user, _)| user)
}

/// The innermost of errors that wrap each other says the most.
fn root(error: &dyn Error) -> String {
    let mut inner = error;
    while let Some(next) = inner.source() {
        inner = next;
    }
    let text = inner.to_string().split_whitespace().collect::<Vec<_>>().join(" ");
    match text.split_once(" (os error ") {
        Some((text, _)) => text.to_lowercase(),
        None if text.contains("deadline has elapsed") => "no answer in time".to_owned(),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    const ASKED: Asked<'_> = Asked {
        server: "https://10.0.0.1:6443",
        verb: "patch",
        resource: "wasmplugins",
        group: "extensions.istio.io",
        object: "wasmplugin/tidegate",
        namespace: "shop",
    };

    #[test]
    fn a_refusal_names_the_right_that_is_missing() {
        let message = "wasmplugins.extensions.istio.io \"tidegate\" is forbidden: User \"jane\" cannot patch resource";
        let status = Status::failure(message, "Forbidden").with_code(403);
        let trouble = ASKED.failed(&kube::Error::Api(status.boxed()));
        assert_eq!(trouble.what, "'jane' does not have the right to patch wasmplugins in namespace shop");
        assert!(trouble.help.unwrap().contains("`patch` on `wasmplugins` of extensions.istio.io"));
    }

    #[test]
    fn a_kind_that_is_not_there_is_no_object_that_is_not_there() {
        let status = Status::failure("the server could not find the requested resource", "NotFound").with_code(404);
        let trouble = ASKED.failed(&kube::Error::Api(status.boxed()));
        assert_eq!(trouble.what, "https://10.0.0.1:6443 knows no wasmplugins");
    }

    #[test]
    fn the_innermost_error_is_told() {
        let inner = std::io::Error::from_raw_os_error(111);
        let trouble = ASKED.failed(&kube::Error::Service(Box::new(inner)));
        assert_eq!(trouble.what, "the API server https://10.0.0.1:6443 cannot be reached: connection refused");
    }
}
