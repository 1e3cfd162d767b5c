# Sourced by rig: Apache Kafka's own server (KRaft: broker and controller in one JVM), from the jars of Maven Central.
#
# Listeners, from the port on: +0 plain, +1 SASL, +2 TLS, +3 SASL with TLS, +4 TLS that asks for the client's certificate,
# +5 plain that sends its clients to +6, where a test puts a proxy; +7 is the controller's. SASL: PLAIN, SCRAM-SHA-256 and -512.
# 3.9.2, because Kafka 4 refuses the SCRAM of every librdkafka before 2.6.1, Debian's among them.
kafka_version=3.9.2 kafka_cluster=c2x1aWNlLXJpZy1rYWZrYQ kafka_user=sluice kafka_password=sluice-secret

kafka_state() { [ -f "$RIG_DIR/kafka/state" ] && . "$RIG_DIR/kafka/state"; }
kafka_jars=$RIG_PROGRAMS/kafka-$kafka_version

# tests/setup installs both; a build by Maven takes 20 s and 50 MB, once.
kafka_install() {
    [ ! -e "$kafka_jars/.done" ] || return 0
    command -v java >/dev/null && command -v mvn >/dev/null || missing "no java or no mvn to get Kafka by: run tests/setup"
    [ -w "$RIG_PROGRAMS" ] || die "$(id -un) can't write to $RIG_PROGRAMS: choose another RIG_PROGRAMS"
    exec 8>"$RIG_PROGRAMS/.lock" && flock 8 # two at once; the second finds it there
    if [ ! -e "$kafka_jars/.done" ]; then
        say "fetching Kafka $kafka_version"
        local t exclusions='' a
        t=$(mktemp -d "$RIG_PROGRAMS/kafka.XXXXXX") && chmod 755 "$t"
        for a in org.apache.kafka:connect-{api,json,runtime,transforms} org.slf4j:slf4j-reload4j; do
            exclusions+="<exclusion><groupId>${a%:*}</groupId><artifactId>${a#*:}</artifactId></exclusion>"
        done
        cat >"$t/pom.xml" <<P
<project><modelVersion>4.0.0</modelVersion><groupId>rig</groupId><artifactId>kafka</artifactId><version>1</version>
<packaging>pom</packaging><dependencies>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka_2.13</artifactId><version>$kafka_version</version></dependency>
<dependency><groupId>org.apache.kafka</groupId><artifactId>kafka-tools</artifactId><version>$kafka_version</version><exclusions>$exclusions</exclusions></dependency>
<dependency><groupId>org.slf4j</groupId><artifactId>slf4j-simple</artifactId><version>1.7.36</version></dependency>
</dependencies></project>
P
        if mvn -B -q -f "$t/pom.xml" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
            -DoutputDirectory="$t" -DincludeScope=runtime >"$RIG_PROGRAMS/kafka.log" 2>&1 && ls "$t"/kafka_*.jar >/dev/null 2>&1; then
            rm -rf "$kafka_jars" && mv "$t" "$kafka_jars" && touch "$kafka_jars/.done"
        else
            rm -rf "$t"
            tail -n 5 "$RIG_PROGRAMS/kafka.log" >&2
            missing "Kafka $kafka_version could not be fetched by Maven"
        fi
    fi
    exec 8>&-
}

# Two authorities, of which the second signed nothing; PEM all of it.
kafka_certificates() {
    local d=$1/tls n
    [ ! -e "$d/.done" ] || return 0
    mkdir -p "$d"
    for n in ca other-ca server client; do
        openssl genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$d/$n.key" 2>/dev/null
        case $n in *ca) openssl req -x509 -new -key "$d/$n.key" -days 3650 -subj "/CN=sluice rig kafka $n" -out "$d/$n.pem" ;; esac
    done
    for n in server client; do
        openssl req -new -key "$d/$n.key" -subj "/CN=rig-$n" -out "$d/$n.csr"
        openssl x509 -req -in "$d/$n.csr" -CA "$d/ca.pem" -CAkey "$d/ca.key" -CAcreateserial -days 3650 -out "$d/$n.pem" \
            -extfile <(printf 'subjectAltName=IP:127.0.0.1,DNS:localhost\nextendedKeyUsage=%sAuth\n' "$n") 2>/dev/null
    done
    cat "$d/server.key" "$d/server.pem" "$d/ca.pem" >"$d/server-store.pem"
    touch "$d/.done"
}

kafka_properties() {
    local at=127.0.0.1 listeners l
    listeners=PLAIN://$at:$port,SASL://$at:$((port + 1)),TLS://$at:$((port + 2)),SASLTLS://$at:$((port + 3)),MTLS://$at:$((port + 4))
    cat <<P
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@$at:$((port + 7))
controller.listener.names=CONTROLLER
listeners=$listeners,PROXY://$at:$((port + 5)),CONTROLLER://$at:$((port + 7))
advertised.listeners=$listeners,PROXY://$at:$((port + 6))
inter.broker.listener.name=PLAIN
listener.security.protocol.map=PLAIN:PLAINTEXT,PROXY:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT,TLS:SSL,SASLTLS:SASL_SSL,MTLS:SSL
log.dirs=$home/data
auto.create.topics.enable=false
num.partitions=4
default.replication.factor=1
min.insync.replicas=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=8
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=8
transaction.abort.timed.out.transaction.cleanup.interval.ms=1000
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
broker.session.timeout.ms=3000
broker.heartbeat.interval.ms=500
num.network.threads=2
num.io.threads=4
log.cleaner.dedupe.buffer.size=16777216
log.cleaner.backoff.ms=500
log.retention.check.interval.ms=5000
log.segment.delete.delay.ms=1000
ssl.keystore.type=PEM
ssl.keystore.location=$home/tls/server-store.pem
ssl.truststore.type=PEM
ssl.truststore.location=$home/tls/ca.pem
listener.name.mtls.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
allow.everyone.if.no.acl.found=true
super.users=User:ANONYMOUS
P
    for l in sasl sasltls; do
        cat <<P
listener.name.$l.sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.$l.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required user_$kafka_user="$kafka_password" user_outsider="$kafka_password";
listener.name.$l.scram-sha-256.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
listener.name.$l.scram-sha-512.sasl.jaas.config=org.apache.kafka.common.security.scram.ScramLoginModule required;
P
    done
}

# The broker answers ApiVersions only once it has joined its cluster, and says "started" when all listeners are open.
kafka_ready() {
    tail -c "+$log_from" "$home/log" | grep -q 'Kafka Server started' || return 1
    local r
    r=$(timeout 3 bash -c 'exec 3<>"/dev/tcp/127.0.0.1/$0" && printf "\0\0\0\12\0\22\0\0\0\0\0\7\377\377" >&3 &&
        head -c 10 <&3 | od -An -tx1' "$port" 2>/dev/null | tr -d ' \n') || return 1
    [ "${r:8}" = 000000070000 ] # our correlation id, and no error
}

kafka_up() {
    local home=$RIG_DIR/kafka user a words=() log_from jvm=${SLUICE_RIG_KAFKA_JVM:--XX:+UseSerialGC -XX:TieredStopAtLevel=1}
    ! { kafka_state && alive "$home/pid" "sluice.rig=$home"; } || return 0
    kafka_install
    user=$(owner nobody)
    kafka_certificates "$home"
    if ! kafka_state; then
        port=$(free_port "${SLUICE_RIG_KAFKA_PORT:-0}" 8)
        rm -rf "$home/data" && mkdir -p "$home/data" "$home/work"
        kafka_properties >"$home/properties"
        for a in 256 512; do
            for b in "$kafka_user" outsider; do words+=(--add-scram "SCRAM-SHA-$a=[name=$b,password=$kafka_password]"); done
        done
        java -Xmx256m -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp "$kafka_jars/*" kafka.tools.StorageTool format \
            -t "$kafka_cluster" -c "$home/properties" "${words[@]}" >"$home/format.log" 2>&1 ||
            { tail -n 5 "$home/format.log" >&2 && die "Kafka's directory could not be formatted"; }
        echo "port=$port" >"$home/state"
    fi
    if [ "$(id -u)" = 0 ]; then
        chown -R "$user" "$home/data" "$home/work" "$home/tls"
        if ! reachable "$user" "$home/data" || ! as "$user" test -r "$kafka_jars/.done"; then # a closed folder above: as root, then
            user=root && chown -R root "$home/data" "$home/work" "$home/tls"
        fi
    fi
    touch "$home/log"
    log_from=$(($(stat -c %s "$home/log") + 1))
    start kafka "$user" java "-Dsluice.rig=$home" -Xms256m "-Xmx${SLUICE_RIG_KAFKA_HEAP:-512m}" $jvm \
        -XX:+ExitOnOutOfMemoryError -Djava.awt.headless=true "-Dkafka.logs.dir=$home/work" \
        -Dorg.slf4j.simpleLogger.showDateTime=true -cp "$kafka_jars/*" kafka.Kafka "$home/properties"
    for a in 1 2 3; do # A JVM on a busy machine takes longer than wait_until waits once.
        if (wait_until kafka "sluice.rig=$home" kafka_ready) 2>/dev/null; then return 0; fi
        alive "$home/pid" "sluice.rig=$home" || break
    done
    grep -E 'ERROR|Exception' "$home/log" | tail -n 5 >&2 || true
    die "kafka did not come up: see $home/log"
}

kafka_env() {
    kafka_state || die "kafka is not up"
    local at=127.0.0.1 home=$RIG_DIR/kafka
    cat <<V
export SLUICE_TEST_KAFKA=$at:$port
export SLUICE_TEST_KAFKA_SASL=$at:$((port + 1))
export SLUICE_TEST_KAFKA_TLS=$at:$((port + 2))
export SLUICE_TEST_KAFKA_SASL_TLS=$at:$((port + 3))
export SLUICE_TEST_KAFKA_MTLS=$at:$((port + 4))
export SLUICE_TEST_KAFKA_PROXIED=$at:$((port + 5))
export SLUICE_TEST_KAFKA_PROXY=$at:$((port + 6))
export SLUICE_TEST_KAFKA_USER=$kafka_user
export SLUICE_TEST_KAFKA_PASSWORD=$kafka_password
export SLUICE_TEST_KAFKA_TLS_DIR=$home/tls
export SLUICE_TEST_KAFKA_PID=$home/pid
V
}

kafka_stop() { ! kafka_state || end kafka "sluice.rig=$RIG_DIR/kafka" KILL; }
# Its data goes, so there is nothing to wait for; a paused one gets it as well.
kafka_down() { kafka_stop; rm -rf "$RIG_DIR/kafka"; }
