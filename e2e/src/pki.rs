//! The cluster's certificate authority and everything it signs.
//!
//! Rule: the authority's key never leaves this process's memory; only what is signed is written, readable by its owner.

use std::fs::OpenOptions;
use std::io::Write;
use std::net::IpAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

/// In how many groups a client certificate can put its user.
pub const MAX_GROUPS: usize = 2;

/// Why a certificate could not be made.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate could not be signed.
    #[error("sign a certificate for {subject}")]
    Sign {
        /// Whom it is for.
        subject: String,
        /// What is wrong.
        source: rcgen::Error,
    },
    /// A certificate cannot name so many groups.
    #[error("sign a certificate for {subject}: it can name {MAX_GROUPS} groups at most")]
    Groups {
        /// Whom it is for.
        subject: String,
    },
    /// A file could not be written.
    #[error("write {path}")]
    Write {
        /// The file.
        path: PathBuf,
        /// What the system answered.
        source: std::io::Error,
    },
}

/// A certificate with its private key, both in PEM.
#[derive(Clone)]
pub struct Identity {
    /// The certificate.
    pub certificate: String,
    /// The private key.
    pub key: String,
}

/// The files of a certificate and its private key.
#[derive(Debug, Clone)]
pub struct IdentityFiles {
    /// The certificate's file.
    pub certificate: PathBuf,
    /// The private key's file.
    pub key: PathBuf,
}

/// A certificate authority of one cluster, valid for 30 days from an hour ago.
pub struct Pki {
    dir: PathBuf,
    certificate: String,
    issuer: Issuer<'static, KeyPair>,
}

impl std::fmt::Debug for Pki {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pki")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

impl Pki {
    /// Makes a new authority; its certificate is written to `dir/ca.crt`. The folder must exist.
    pub fn create(dir: &Path) -> Result<Self, Error> {
        let sign = |source| Error::Sign {
            subject: "the authority".to_owned(),
            source,
        };
        let key = KeyPair::generate().map_err(sign)?;
        let mut params = params("coppice-e2e", &[])?;
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        let certificate = params.self_signed(&key).map_err(sign)?.pem();
        let pki = Self {
            dir: dir.to_owned(),
            certificate,
            issuer: Issuer::new(params, key),
        };
        write_private(&pki.ca_file(), &pki.certificate)?;
        Ok(pki)
    }

    /// The authority's certificate in PEM.
    pub fn ca(&self) -> &str {
        &self.certificate
    }

    /// The file of the authority's certificate.
    pub fn ca_file(&self) -> PathBuf {
        self.dir.join("ca.crt")
    }

    /// A client certificate: Kubernetes sees the user `user` in the groups `groups`, of which there may be
    /// [`MAX_GROUPS`].
    pub fn client(&self, user: &str, groups: &[&str]) -> Result<Identity, Error> {
        self.sign(
            user,
            params(user, groups)?,
            vec![ExtendedKeyUsagePurpose::ClientAuth],
        )
    }

    /// A client certificate, written to the files `name.crt` and `name.key`.
    pub fn client_files(
        &self,
        name: &str,
        user: &str,
        groups: &[&str],
    ) -> Result<IdentityFiles, Error> {
        self.write(name, &self.client(user, groups)?)
    }

    /// A serving certificate for these DNS names and addresses, good for being a client too (as peers are), written to
    /// the files `name.crt` and `name.key`.
    pub fn server_files(
        &self,
        name: &str,
        user: &str,
        groups: &[&str],
        dns: &[&str],
        ips: &[IpAddr],
    ) -> Result<IdentityFiles, Error> {
        let mut params = params(user, groups)?;
        for dns in dns {
            let dns = (*dns).try_into().map_err(|source| Error::Sign {
                subject: user.to_owned(),
                source,
            })?;
            params.subject_alt_names.push(SanType::DnsName(dns));
        }
        params
            .subject_alt_names
            .extend(ips.iter().copied().map(SanType::IpAddress));
        let usages = vec![
            ExtendedKeyUsagePurpose::ServerAuth,
            ExtendedKeyUsagePurpose::ClientAuth,
        ];
        self.write(name, &self.sign(user, params, usages)?)
    }

    /// The pair of keys that signs the tokens of service accounts: the files of the private and of the public key.
    pub fn service_account_keys(&self) -> Result<(PathBuf, PathBuf), Error> {
        let sign = |source| Error::Sign {
            subject: "ServiceAccount tokens".to_owned(),
            source,
        };
        let key = KeyPair::generate().map_err(sign)?;
        let (private, public) = (
            self.dir.join("service-account.key"),
            self.dir.join("service-account.pub"),
        );
        write_private(&private, &key.serialize_pem())?;
        write_private(&public, &key.public_key_pem())?;
        Ok((private, public))
    }

    fn sign(
        &self,
        subject: &str,
        mut params: CertificateParams,
        usages: Vec<ExtendedKeyUsagePurpose>,
    ) -> Result<Identity, Error> {
        let sign = |source| Error::Sign {
            subject: subject.to_owned(),
            source,
        };
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = usages;
        let key = KeyPair::generate().map_err(sign)?;
        let certificate = params.signed_by(&key, &self.issuer).map_err(sign)?;
        Ok(Identity {
            certificate: certificate.pem(),
            key: key.serialize_pem(),
        })
    }

    fn write(&self, name: &str, identity: &Identity) -> Result<IdentityFiles, Error> {
        let files = IdentityFiles {
            certificate: self.dir.join(format!("{name}.crt")),
            key: self.dir.join(format!("{name}.key")),
        };
        write_private(&files.certificate, &identity.certificate)?;
        write_private(&files.key, &identity.key)?;
        Ok(files)
    }
}

fn params(user: &str, groups: &[&str]) -> Result<CertificateParams, Error> {
    // The library keeps one value for each kind of name, so the second group goes by the kind's number (2.5.4.10).
    let kinds = [
        DnType::OrganizationName,
        DnType::CustomDnType(vec![2, 5, 4, 10]),
    ];
    if groups.len() > MAX_GROUPS {
        return Err(Error::Groups {
            subject: user.to_owned(),
        });
    }
    let mut params = CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    for (kind, group) in kinds.into_iter().zip(groups) {
        params.distinguished_name.push(kind, *group);
    }
    params.distinguished_name.push(DnType::CommonName, user);
    // An hour of slack, because clocks of a virtual machine are sometimes set back.
    params.not_before = time::OffsetDateTime::now_utc() - time::Duration::hours(1);
    params.not_after = params.not_before + time::Duration::days(30);
    Ok(params)
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, text: &str) -> Result<(), Error> {
    let file = OpenOptions::new()
        .create(true)
        .truncate(true)
        .write(true)
        .mode(0o600)
        .open(path);
    file.and_then(|mut file| file.write_all(text.as_bytes()))
        .map_err(|source| Error::Write {
            path: path.to_owned(),
            source,
        })
}
