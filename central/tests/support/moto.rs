//! Moto for one test: S3, IAM and the token service of AWS as another project understands them, in memory. It verifies
//! signatures (with botocore) and the policies of users and roles, but not the policy of a session.

use super::ports::Port;
use super::process::{Process, cached, dying_with_us, find_program, run};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use tempfile::TempDir;

pub const REGION: &str = "us-east-1";
pub const ROLE_ARN: &str = "arn:aws:iam::123456789012:role/boxes";

/// Names the service, and no key that there is.
const UNSIGNED: &str = "Authorization: AWS4-HMAC-SHA256 Credential=x/20260101/us-east-1/iam/aws4_request";

pub struct Moto {
    process: Process,
    port: Port,
    _folder: TempDir,
    /// Of a user who may do everything.
    pub access_key: String,
    pub secret_key: String,
}

impl Moto {
    /// Starts it with one user, and the role `ROLE_ARN`, which may write objects below `boxes/` and nothing else.
    pub fn start_new() -> Self {
        let folder = tempfile::Builder::new().prefix("gtv-moto-").tempdir().expect("a temporary folder");
        let (process, port) = (Process::new("moto", folder.path().join("log")), Port::reserve());
        let (access_key, secret_key) = (String::new(), String::new());
        let mut server = Self { process, port, _folder: folder, access_key, secret_key };
        let number = server.port.number();
        let mut command = dying_with_us(&python(), None);
        command.args(["-m", "moto.server", "-H", "127.0.0.1", "-p", &number.to_string()]);
        server.process.spawn(command);
        server.process.wait_ready(|| TcpStream::connect(("127.0.0.1", number)).is_ok());

        let all = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
        let boxes = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"s3:PutObject","Resource":"arn:aws:s3:::*/boxes/*"}]}"#;
        let trust = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}"#;
        server.iam(&["Action=CreateUser", "UserName=centre"]);
        server.iam(&["Action=PutUserPolicy", "UserName=centre", "PolicyName=all", &format!("PolicyDocument={all}")]);
        server.iam(&["Action=CreateRole", "RoleName=boxes", &format!("AssumeRolePolicyDocument={trust}")]);
        server.iam(&["Action=PutRolePolicy", "RoleName=boxes", "PolicyName=put", &format!("PolicyDocument={boxes}")]);
        let answer = server.iam(&["Action=CreateAccessKey", "UserName=centre"]);
        let element = |name: &str| {
            let (_, rest) = answer.split_once(&format!("<{name}>")).unwrap_or_else(|| panic!("{name}: {answer}"));
            rest.split_once('<').map(|(text, _)| text.to_owned()).expect("an end")
        };
        (server.access_key, server.secret_key) = (element("AccessKeyId"), element("SecretAccessKey"));
        // From now on every request is verified.
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail", "--header", "Content-Type: text/plain", "--data", "0"])
            .arg(format!("{}/moto-api/reset-auth", server.endpoint()));
        run(curl);
        let mut stranger = Command::new("curl");
        stranger.args(["--silent", "--output", "/dev/null", "--write-out", "%{http_code}"]);
        stranger.args(["--header", UNSIGNED, "--data", "Action=ListUsers&Version=2010-05-08"]).arg(server.endpoint());
        assert_eq!(run(stranger), "403", "or it would prove nothing");
        server
    }

    fn iam(&self, parameters: &[&str]) -> String {
        let mut curl = Command::new("curl");
        curl.args(["--silent", "--fail-with-body", "--data-urlencode", "Version=2010-05-08"]);
        for parameter in parameters {
            curl.args(["--data-urlencode", parameter]);
        }
        // Which service is meant stands in the scope of the signature, which nobody verifies yet.
        curl.args(["--header", UNSIGNED]);
        curl.arg(self.endpoint());
        run(curl)
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port.number())
    }

    pub fn log(&self) -> String {
        self.process.log()
    }
}

/// GTV_PYTHON, then the environment that scripts/test makes.
fn python() -> PathBuf {
    find_program("python-of-the-tests", "GTV_PYTHON", &cached("python/bin/python"))
}
