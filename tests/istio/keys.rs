//! Keys that live as long as the run: of the API server's service accounts, and of an issuer of tokens.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use p256::ecdsa::signature::Signer as _;
use p256::ecdsa::{Signature, SigningKey};
use p256::pkcs8::{EncodePrivateKey as _, EncodePublicKey as _, LineEnding};
use serde_json::{Value, json};

pub(crate) struct Key(SigningKey);

impl Key {
    /// From 32 bytes of the system's chance.
    pub(crate) fn new() -> Self {
        use std::io::Read as _;
        let mut bytes = [0_u8; 32];
        std::fs::File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).expect("chance");
        Self(SigningKey::from_slice(&bytes).expect("almost any 32 bytes are a key"))
    }

    pub(crate) fn private_pem(&self) -> String {
        self.0.to_pkcs8_pem(LineEnding::LF).expect("a key can be written").to_string()
    }

    pub(crate) fn public_pem(&self) -> String {
        self.0.verifying_key().to_public_key_pem(LineEnding::LF).expect("a key can be written")
    }

    /// The public half, as an issuer shows it.
    pub(crate) fn jwks(&self) -> String {
        let point = self.0.verifying_key().to_encoded_point(false);
        let part = |bytes: Option<&p256::FieldBytes>| URL_SAFE_NO_PAD.encode(bytes.expect("a point has both"));
        let key = json!({"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "one",
            "x": part(point.x()), "y": part(point.y())});
        json!({"keys": [key]}).to_string()
    }

    pub(crate) fn token(&self, claims: &Value) -> String {
        let encode = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let head = encode(&json!({"alg": "ES256", "typ": "JWT", "kid": "one"}));
        let signed = format!("{head}.{}", encode(claims));
        let signature: Signature = self.0.sign(signed.as_bytes());
        format!("{signed}.{}", URL_SAFE_NO_PAD.encode(signature.to_bytes()))
    }
}
