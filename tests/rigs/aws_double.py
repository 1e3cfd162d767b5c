"""A double of the places AWS credentials come from (IMDSv2, container endpoint, STS), of the two calls that give a
database user for Redshift, and a door to a real S3 server that takes the temporary keys they give.

    double = AwsDouble()                                  on its own threads, until close() or the process's end
    double = AwsDouble(s3="http://127.0.0.1:9000", key=("id", "secret"))
    double.variables("instance")                          the environment of a process that shall find its keys there:
                                                          keys, instance, container, web, role
    double.lifetime_s = 5                                 of the keys given from now on
    double.expire()                                       all temporary keys have expired now
    double.fail = {"instance": 503, "sts": 403, ...}      answer that code to all of these; 0: never answer
    double.calls                                          Counter of "instance", "container", "sts AssumeRole", "s3 PUT",
                                                          "redshift GetClusterCredentials", "redshift GetCredentials" …
    double.database_password                              what those two give: for the cluster CLUSTER, the workgroup WORKGROUP

Signatures are checked by code of its own: signature, region and service, age (15 minutes), session token, expiry, payload
hash. At the door an expired key gets S3's 400 ExpiredToken, a wrong one 403; what passes is signed anew with the server's
own key pair and sent on, the whole body at once. Chunk-signed bodies are not understood. What IAM would allow is not
asked: every key may do everything."""

import calendar
import collections
import hashlib
import hmac
import http.client
import http.server
import json
import os
import re
import shutil
import tempfile
import threading
import time
import urllib.parse
from xml.sax.saxutils import escape

ROLE = "arn:aws:iam::123456789012:role/sluice"
ROLE_NAME = "sluice-instance"
WEB_TOKEN = "eyJhbGciOiJSUzI1NiJ9.eyJzdWIiOiJzbHVpY2UifQ.c2lnbmF0dXJl"
CONTAINER_TOKEN = "Bearer of-the-container"
CLUSTER, WORKGROUP = "sluice-cluster", "sluice-workgroup"
SERVICES = ("s3", "sts", "redshift", "redshift-serverless")
# Members of the requests as AWS publishes them (API Reference of Redshift, 2012-12-01, and of Redshift Serverless).
CLUSTER_MEMBERS = {"Action", "Version", "DbUser", "DbName", "ClusterIdentifier", "DurationSeconds", "AutoCreate",
                   "CustomDomainName"}
WORKGROUP_MEMBERS = {"workgroupName": str, "dbName": str, "durationSeconds": int, "customDomainName": str}
OWN = {"host", "connection", "content-length", "transfer-encoding", "expect", "accept-encoding"}


def iso(t):
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(t))


def signature(secret, method, path, query, headers, names, payload_hash, stamp, scope):
    canonical = "\n".join([method, path, query, *(f"{n}:{' '.join(headers.get(n, '').split())}" for n in names), "",
                           ";".join(names), payload_hash])
    text = "\n".join(["AWS4-HMAC-SHA256", stamp, scope, hashlib.sha256(canonical.encode()).hexdigest()])
    key = ("AWS4" + secret).encode()
    for part in [*scope.split("/"), text]:
        key = hmac.digest(key, part.encode(), "sha256")
    return key.hex()


class Refused(Exception):
    def __init__(self, status, code, message):
        super().__init__(message)
        self.status, self.code, self.message = status, code, message


class AwsDouble:
    def __init__(self, s3=None, key=("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"), region="us-east-1"):
        self.s3, self.key, self.region = s3, key, region
        self.lifetime_s, self.fail, self.calls = 3600, {}, collections.Counter()
        self.database_password = os.urandom(8).hex() + "+/='\"<&>"
        self.keys, self.sessions, self.lock = {}, {}, threading.Lock()
        self.directory = tempfile.mkdtemp(prefix="sluice-aws-")
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads, self.server.double = True, self
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.released = threading.Event()
        for name, text in [("token", WEB_TOKEN + "\n"), ("container-token", CONTAINER_TOKEN + "\n"), (
                "config", f"[profile base]\naws_access_key_id = {key[0]}\naws_secret_access_key = {key[1]}\n"
                f"[profile role]\nrole_arn = {ROLE}\nsource_profile = base\nrole_session_name = by-profile\n"
                f"region = {region}\n")]:
            self.write(name, text)
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def write(self, name, text):
        with open(os.path.join(self.directory, name), "w") as f:
            f.write(text)

    def close(self):
        self.released.set()
        self.server.shutdown()
        self.server.server_close()
        shutil.rmtree(self.directory, ignore_errors=True)

    def variables(self, kind):
        at = lambda name: os.path.join(self.directory, name)  # noqa: E731
        return {"AWS_ENDPOINT_URL_STS": self.url, "HOME": self.directory, **{
            "keys": {"AWS_ACCESS_KEY_ID": self.key[0], "AWS_SECRET_ACCESS_KEY": self.key[1], "AWS_REGION": self.region},
            "instance": {"AWS_EC2_METADATA_SERVICE_ENDPOINT": self.url},
            "container": {"AWS_CONTAINER_CREDENTIALS_FULL_URI": self.url + "/container", "AWS_REGION": self.region,
                          "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": at("container-token")},
            "web": {"AWS_WEB_IDENTITY_TOKEN_FILE": at("token"), "AWS_ROLE_ARN": ROLE, "AWS_REGION": self.region},
            "role": {"AWS_CONFIG_FILE": at("config"), "AWS_PROFILE": "role"},
        }[kind]}

    def expire(self):
        with self.lock:
            for key in self.keys.values():
                key["expires"] = min(key["expires"], time.time() - 1)

    def mint(self):
        """(id, secret, token, expiry text)"""
        with self.lock:
            number = len(self.keys) + 1
            name, expires = f"ASIADOUBLE{number:08}", time.time() + self.lifetime_s
            self.keys[name] = {"secret": os.urandom(20).hex(), "token": f"session/{number}+{os.urandom(30).hex()}==",
                               "expires": expires}
            return name, self.keys[name]["secret"], self.keys[name]["token"], iso(expires)

    def check(self, method, target, headers, body):
        """The service that the request is signed for, or Refused."""
        found = re.fullmatch(r"AWS4-HMAC-SHA256 Credential=([^/ ]+)/([^, ]+), *SignedHeaders=([^, ]+), *Signature=([0-9a-f]{64})",
                             headers.get("authorization", ""))
        if not found:
            raise Refused(403, "AccessDenied", "no signature")
        name, scope, signed, given = found.groups()
        parts, stamp, names = scope.split("/"), headers.get("x-amz-date", ""), signed.split(";")
        if len(parts) != 4 or parts[1] != self.region or parts[2] not in SERVICES or parts[3] != "aws4_request":
            raise Refused(400, "AuthorizationHeaderMalformed", f"the credential scope {scope} is wrong")
        if not re.fullmatch(r"\d{8}T\d{6}Z", stamp) or stamp[:8] != parts[0]:
            raise Refused(403, "SignatureDoesNotMatch", "X-Amz-Date")
        if abs(calendar.timegm(time.strptime(stamp, "%Y%m%dT%H%M%SZ")) - time.time()) > 900:
            raise Refused(403, "RequestTimeTooSkewed", "more than 15 minutes")
        if names != sorted(names) or "host" not in names or "x-amz-date" not in names:
            raise Refused(403, "SignatureDoesNotMatch", "signed headers")
        unsigned = [n for n in headers if n.startswith("x-amz-") and n not in names]
        if unsigned:
            raise Refused(403, "AccessDenied", f"not signed: {unsigned}")
        key = self.keys.get(name)
        if key is None and name != self.key[0]:
            raise Refused(403, "InvalidAccessKeyId", name)
        if key is not None and headers.get("x-amz-security-token") != key["token"]:
            raise Refused(403, "InvalidToken", "another session token")
        if key is not None and time.time() >= key["expires"]:
            raise Refused(400 if parts[2] == "s3" else 403, "ExpiredToken", "The provided token has expired.")
        path, _, query = target.partition("?")
        query = "&".join(sorted(query.split("&"))) if query else ""
        payload = headers.get("x-amz-content-sha256", hashlib.sha256(body).hexdigest())
        if payload != "UNSIGNED-PAYLOAD" and payload != hashlib.sha256(body).hexdigest():
            raise Refused(400, "XAmzContentSHA256Mismatch", "the body has another hash")
        if parts[2] == "s3" and "x-amz-content-sha256" not in names:
            raise Refused(400, "InvalidRequest", "x-amz-content-sha256 isn't signed")
        path = path if parts[2] == "s3" else urllib.parse.quote(path, safe="/-_.~")
        if given != signature(key["secret"] if key else self.key[1], method, path, query, headers, names, payload, stamp,
                              scope):
            raise Refused(403, "SignatureDoesNotMatch", "The request signature we calculated does not match")
        return parts[2]

    def assume(self, form, caller):
        action = form.get("Action", "")
        self.calls["sts " + action] += 1
        if action == "AssumeRoleWithWebIdentity":
            if form.get("WebIdentityToken") != WEB_TOKEN:
                raise Refused(400, "InvalidIdentityToken", "not the token that was expected")
        elif caller is None:
            raise Refused(403, "MissingAuthenticationToken", "no signature")
        elif action == "GetCallerIdentity":
            return f"<GetCallerIdentityResult><Arn>{escape(caller)}</Arn></GetCallerIdentityResult>"
        elif action != "AssumeRole":
            raise Refused(400, "InvalidAction", action)
        if form.get("RoleArn") != ROLE or not re.fullmatch(r"[\w+=,.@-]{2,64}", form.get("RoleSessionName", "")):
            raise Refused(403, "AccessDenied", f"not authorized to perform {action} on {form.get('RoleArn')}")
        name, secret, token, expires = self.mint()
        return (f"<{action}Result><AssumedRoleUser><Arn>{escape(ROLE)}</Arn></AssumedRoleUser><Credentials>"
                f"<AccessKeyId>{name}</AccessKeyId><SecretAccessKey>{secret}</SecretAccessKey>"
                f"<SessionToken>{escape(token)}</SessionToken><Expiration>{expires}</Expiration>"
                f"</Credentials></{action}Result>")

    def cluster_credentials(self, headers, body):
        """(user, XML inside the response)"""
        if headers.get("content-type") != "application/x-www-form-urlencoded; charset=utf-8":
            raise Refused(400, "MalformedQueryString", "content-type")
        form = urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True)
        names, form = [n for n, _ in form], dict(form)
        if form.get("Action") != "GetClusterCredentials" or form.get("Version") != "2012-12-01":
            raise Refused(400, "InvalidAction", f"{form.get('Action')} of {form.get('Version')}")
        self.calls["redshift GetClusterCredentials"] += 1
        unknown = {n for n in names if n not in CLUSTER_MEMBERS and not re.fullmatch(r"DbGroups\.DbGroup\.\d+", n)}
        if unknown or len(names) != len(form):
            raise Refused(400, "MalformedQueryString", f"unknown or repeated: {sorted(unknown)}")
        if not form.get("DbUser"):
            raise Refused(400, "MissingParameter", "DbUser")
        if not 900 <= int(form.get("DurationSeconds", "900")) <= 3600 or form.get("AutoCreate", "false") not in ("true", "false"):
            raise Refused(400, "InvalidParameterValue", "DurationSeconds or AutoCreate")
        if form.get("ClusterIdentifier") != CLUSTER:
            raise Refused(404, "ClusterNotFound", f"Cluster {form.get('ClusterIdentifier')} not found.")
        user = ("IAMA:" if form.get("AutoCreate") == "true" else "IAM:") + form["DbUser"]
        return (f"<DbUser>{escape(user)}</DbUser><DbPassword>{escape(self.database_password, {chr(39): '&#39;'})}</DbPassword>"
                f"<Expiration>{iso(time.time() + 900)}</Expiration>")

    def workgroup_credentials(self, headers, body):
        if headers.get("content-type") != "application/x-amz-json-1.1":
            raise Refused(400, "SerializationException", "content-type")
        if headers.get("x-amz-target") != "RedshiftServerless.GetCredentials":
            raise Refused(400, "UnknownOperationException", str(headers.get("x-amz-target")))
        self.calls["redshift GetCredentials"] += 1
        given = json.loads(body)
        wrong = [n for n, v in given.items() if type(v) is not WORKGROUP_MEMBERS.get(n)]
        name = given.get("workgroupName", "")
        if wrong or not 900 <= given.get("durationSeconds", 900) <= 3600 or not re.fullmatch(r"[a-z0-9-]{3,64}", name):
            raise Refused(400, "ValidationException", f"{wrong or given}")
        if name != WORKGROUP:
            raise Refused(400, "ResourceNotFoundException", f"workgroup {name} not found")
        now = time.time()
        return {"dbUser": "IAMR:sluice", "dbPassword": self.database_password, "expiration": now + 900, "nextRefreshTime": now + 600}

    def forward(self, method, target, headers, body):
        """To the S3 server, signed with its own key pair: (status, headers, body)."""
        host, stamp = urllib.parse.urlsplit(self.s3).netloc, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        kept = {n: v for n, v in headers.items()
                if n not in OWN and n not in ("authorization", "x-amz-security-token", "x-amz-date")}
        kept.update({"host": host, "x-amz-date": stamp})
        names = sorted(n for n in kept if n in ("host", "content-md5") or n.startswith("x-amz-"))
        path, _, query = target.partition("?")
        scope = f"{stamp[:8]}/{self.region}/s3/aws4_request"
        made = signature(self.key[1], method, path, "&".join(sorted(query.split("&"))) if query else "", kept, names,
                         kept["x-amz-content-sha256"], stamp, scope)
        kept["authorization"] = (f"AWS4-HMAC-SHA256 Credential={self.key[0]}/{scope}, SignedHeaders={';'.join(names)}, "
                                 f"Signature={made}")
        connection = http.client.HTTPConnection(host, timeout=60)
        try:
            connection.putrequest(method, target, skip_host=True, skip_accept_encoding=True)
            for n, v in kept.items():
                connection.putheader(n, v)
            if body or method in ("PUT", "POST"):
                connection.putheader("Content-Length", str(len(body)))
            connection.endheaders(body or None)
            reply = connection.getresponse()
            return reply.status, reply.getheaders(), reply.read()
        finally:
            connection.close()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", headers=()):
        body = body.encode() if isinstance(body, str) else body
        self.send_response(status)
        length = str(len(body))
        for n, v in headers:
            if n.lower() == "content-length":
                length = v
            elif n.lower() not in ("connection", "transfer-encoding", "keep-alive", "date", "server"):
                self.send_header(n, v)
        self.send_header("Content-Length", length)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def failing(self, service):
        code = self.server.double.fail.get(service)
        if code == 0:
            self.server.double.released.wait()
            self.close_connection = True
        elif code is not None:
            self.answer(code)
        return code is not None

    def handle_all(self):
        double, path = self.server.double, self.path.partition("?")[0]
        headers = {n.lower(): v for n, v in self.headers.items()}
        body = self.rfile.read(int(headers.get("content-length", 0)))
        scope = re.search(r"Credential=\S+?/\d{8}/[^/]+/([\w-]+)/", headers.get("authorization", ""))
        if path.startswith("/latest/"):
            double.calls["instance"] += 1
            return self.failing("instance") or self.instance(double, path, headers)
        if path == "/container":
            double.calls["container"] += 1
            return self.failing("container") or self.container(double, headers)
        if scope and scope[1].startswith("redshift"):
            return self.failing("redshift") or self.redshift(double, headers, body)
        if double.s3 and not (self.command == "POST" and path == "/" and (scope is None or scope[1] == "sts")):
            double.calls["s3 " + self.command] += 1
            return self.failing("s3") or self.door(double, headers, body)
        return self.failing("sts") or self.sts(double, headers, body)

    do_GET = do_PUT = do_POST = do_HEAD = do_DELETE = handle_all

    def document(self, double):
        name, secret, token, expires = double.mint()
        self.answer(200, json.dumps({"Code": "Success", "Type": "AWS-HMAC", "LastUpdated": iso(time.time()), "AccessKeyId": name,
                                     "SecretAccessKey": secret, "Token": token, "Expiration": expires}, indent=1))

    def instance(self, double, path, headers):
        now, base = time.time(), "/latest/meta-data/iam/security-credentials/"
        if path == "/latest/api/token":
            life = headers.get("x-aws-ec2-metadata-token-ttl-seconds", "")
            if self.command != "PUT":
                return self.answer(405)
            if "x-forwarded-for" in headers:
                return self.answer(403)
            if not life.isdigit() or not 1 <= int(life) <= 21600:
                return self.answer(400)
            token = os.urandom(20).hex() + "=="
            double.sessions[token] = now + int(life)
            return self.answer(200, token)
        if double.sessions.get(headers.get("x-aws-ec2-metadata-token"), 0) < now:
            return self.answer(401)
        if path == base:
            return self.answer(200, ROLE_NAME)
        if path == base + ROLE_NAME:
            return self.document(double)
        if path == "/latest/meta-data/placement/region":
            return self.answer(200, double.region)
        return self.answer(404)

    def container(self, double, headers):
        if headers.get("authorization") != CONTAINER_TOKEN:
            return self.answer(401)
        return self.document(double)

    def sts(self, double, headers, body):
        try:
            caller = None
            if "authorization" in headers:
                if double.check(self.command, self.path, headers, body) != "sts":
                    raise Refused(403, "SignatureDoesNotMatch", "signed for another service")
                caller = re.search(r"Credential=([^/]+)", headers["authorization"])[1]
            form = dict(urllib.parse.parse_qsl(body.decode(), keep_blank_values=True, strict_parsing=True))
            inner = double.assume(form, caller)
            self.answer(200, f'<{form["Action"]}Response xmlns="https://sts.amazonaws.com/doc/2011-06-15/">{inner}'
                             f'</{form["Action"]}Response>', [("Content-Type", "text/xml")])
        except Refused as e:
            self.answer(e.status, '<ErrorResponse xmlns="https://sts.amazonaws.com/doc/2011-06-15/"><Error><Type>Sender</Type>'
                                  f"<Code>{e.code}</Code><Message>{escape(e.message)}</Message></Error></ErrorResponse>")

    def redshift(self, double, headers, body):
        namespace, serverless = "http://redshift.amazonaws.com/doc/2012-12-01/", False
        try:
            serverless = double.check(self.command, self.path, headers, body) == "redshift-serverless"
            if self.command != "POST" or self.path != "/":
                raise Refused(404, "UnknownOperationException", f"{self.command} {self.path}")
            if serverless:
                return self.answer(200, json.dumps(double.workgroup_credentials(headers, body)),
                                   [("Content-Type", "application/x-amz-json-1.1")])
            self.answer(200, f'<GetClusterCredentialsResponse xmlns="{namespace}">\n  <GetClusterCredentialsResult>'
                             f"{double.cluster_credentials(headers, body)}</GetClusterCredentialsResult>\n  <ResponseMetadata>"
                             "<RequestId>1</RequestId></ResponseMetadata>\n</GetClusterCredentialsResponse>\n",
                        [("Content-Type", "text/xml")])
        except Refused as e:
            if serverless or "x-amz-target" in headers:
                return self.answer(e.status, json.dumps({"__type": e.code, "message": e.message}))
            self.answer(e.status, f'<ErrorResponse xmlns="{namespace}"><Error><Type>Sender</Type><Code>{e.code}</Code>'
                                  f"<Message>{escape(e.message)}</Message></Error><RequestId>1</RequestId></ErrorResponse>")

    def door(self, double, headers, body):
        try:
            if double.check(self.command, self.path, headers, body) != "s3":
                raise Refused(403, "SignatureDoesNotMatch", "signed for another service")
            status, replied, content = double.forward(self.command, self.path, headers, body)
            self.answer(status, content, replied)
        except Refused as e:
            self.answer(e.status, f'<?xml version="1.0"?><Error><Code>{e.code}</Code><Message>{escape(e.message)}</Message></Error>')
        except OSError:
            self.close_connection = True
