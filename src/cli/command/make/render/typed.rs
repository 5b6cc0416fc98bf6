//! What is typed on the command line, read as what Kubernetes takes.

/// A name that Kubernetes takes.
pub(super) fn object_name(text: &str) -> Result<String, String> {
    let inside = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || matches!(c, '-' | '.');
    let ends = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    if (1..=253).contains(&text.len()) && text.chars().all(inside) && text.starts_with(ends) && text.ends_with(ends) {
        return Ok(text.to_owned());
    }
    Err("must be lower-case letters, digits, - and ., with a letter or digit at both ends".to_owned())
}

pub(super) fn label(text: &str) -> Result<(String, String), String> {
    let fits = |text: &str| text.chars().all(|c| c.is_ascii_alphanumeric() || "-_./".contains(c));
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() && fits(key) && fits(value) => Ok((key.to_owned(), value.to_owned())),
        _ => Err("must be a label, such as app=checkout".to_owned()),
    }
}

pub(super) fn url(text: &str) -> Result<String, String> {
    if text.is_empty() || text.contains(|c: char| c.is_whitespace() || c.is_control()) {
        return Err("must be a URL, such as oci://registry.example/tidegate:0.1.0".to_owned());
    }
    Ok(text.to_owned())
}

pub(super) fn digest(text: &str) -> Result<String, String> {
    let digits = text.strip_prefix("sha256:").unwrap_or(text);
    if digits.len() == 64 && digits.chars().all(|c| c.is_ascii_hexdigit()) {
        return Ok(digits.to_ascii_lowercase());
    }
    Err("must be 64 hexadecimal digits, as sha256sum prints them".to_owned())
}

/// What a policy is for: a kind and a name.
pub(super) fn target(text: &str) -> Result<Target, String> {
    const KINDS: [(&str, &str); 4] = [
        ("Gateway", "gateway.networking.k8s.io"),
        ("HTTPRoute", "gateway.networking.k8s.io"),
        ("Service", ""),
        ("ServiceEntry", "networking.istio.io"),
    ];
    let (kind, name) = text.split_once('/').unwrap_or_default();
    let known = KINDS.iter().find(|(known, _)| known.eq_ignore_ascii_case(kind));
    let Some((kind, group)) = known else {
        return Err("must be a kind and a name, such as Gateway/waypoint or Service/checkout".to_owned());
    };
    Ok(Target { group, kind, name: object_name(name)? })
}

#[derive(Clone, Debug)]
pub(super) struct Target {
    pub(super) group: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: String,
}

/// A namespace and a name.
pub(super) fn place(text: &str) -> Result<(String, String), String> {
    let (namespace, name) = text.split_once('/').ok_or("must be a namespace and a name, such as istio-ingress/shop")?;
    Ok((object_name(namespace)?, object_name(name)?))
}
