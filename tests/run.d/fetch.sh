# Downloads the services of tests/services.list with Maven into $ISOBAR_SERVICES, once: a directory
# that is there is complete, since it is renamed into place last. Sourced by tests/run.

fetch_services() {
    command -v mvn >/dev/null || { echo "Missing: Maven. Run ./tests/run prerequisites" >&2; return 1; }
    mkdir -p "$ISOBAR_SERVICES" || return
    (
        # Two checkouts may share the directory.
        exec 9>"$ISOBAR_SERVICES/.lock"
        flock 9
        while read -r directory how coordinates; do
            [[ -n $directory && $directory != \#* ]] || continue
            if [[ -d $ISOBAR_SERVICES/$directory ]]; then
                echo "present  $directory"
                continue
            fi
            began=$SECONDS
            part="$ISOBAR_SERVICES/.part-$directory"
            rm -rf "$part"
            mkdir -p "$part"
            "fetch_$how" "$part" $coordinates || exit
            mv "$part/unpacked" "$ISOBAR_SERVICES/$directory" || exit
            rm -rf "$part"
            echo "fetched  $directory ($((SECONDS - began)) s)"
        done <tests/services.list
    )
}

# The artifacts with all they depend on, as jar files.
fetch_jars() {
    local part=$1 coordinate group artifact version
    shift
    {
        echo '<project><modelVersion>4.0.0</modelVersion>'
        echo '<groupId>local</groupId><artifactId>services</artifactId><version>1</version><dependencies>'
        for coordinate in "$@"; do
            IFS=: read -r group artifact version <<<"$coordinate"
            echo "<dependency><groupId>$group</groupId><artifactId>$artifact</artifactId><version>$version</version></dependency>"
        done
        echo '</dependencies></project>'
    } >"$part/pom.xml"
    maven "$part" -f "$part/pom.xml" \
        org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy-dependencies \
        -DoutputDirectory="$part/unpacked/libs" -DincludeScope=runtime
}

# A distribution, without the folder that its archive has on top.
fetch_zip() {
    local part=$1 coordinates=$2 top
    maven "$part" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:copy \
        -Dartifact="$coordinates" -DoutputDirectory="$part/zip" || return
    # Not unzip: Maven is there anyway, and knows the file modes.
    maven "$part" org.apache.maven.plugins:maven-dependency-plugin:3.8.1:unpack \
        -Dartifact="$coordinates" -DoutputDirectory="$part/tree" || return
    top=("$part"/tree/*)
    if ((${#top[@]} != 1)) || [[ ! -d ${top[0]}/bin ]]; then
        echo "Unexpected content of $coordinates: ${top[*]}" >&2
        return 1
    fi
    # The servers do not run as root, and another user must be able to read them.
    chmod -R go+rX "${top[0]}" && chmod -R a+x "${top[0]}/bin" && mv "${top[0]}" "$part/unpacked"
}

# Registries stumble now and then, so three attempts, each bounded; output is shown on failure only.
maven() {
    local part=$1 attempt
    shift
    for attempt in 1 2 3; do
        if (cd "$part" && timeout 600 mvn -B -ntp "$@" >"$part/maven.log" 2>&1 </dev/null); then
            return 0
        fi
        echo "mvn failed (attempt $attempt of 3)" >&2
    done
    tail -n 30 "$part/maven.log" >&2
    return 1
}
