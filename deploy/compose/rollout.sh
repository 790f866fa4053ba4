#!/bin/sh
# Put a new version in place of the one that runs: no request fails, and none waits longer than a moment. `make deploy`.
#
#   build ─> new web beside the old ─> healthy, and the proxy knows it ─> the old stops, and is removed ─> the rest
#                     └─> not healthy: the new is removed, the old goes on, exit status 1
#
# deploy/compose/rollout.sh [-p PROJECT] [-n]
#   -p  as of docker compose
#   -n  don't build: the image that EVERYCORE_IMAGE names is there
# .env and the variables of docker compose count as ever. DEPLOY_TIMEOUT, from the environment, is how many seconds the
# new version has to become healthy, 180 if it is not set.
set -eu
cd "$(dirname "$0")/../.."

say() { echo "deploy: $*" >&2; }

project='' build=yes
while getopts p:n option; do
    case $option in
        p) project=$OPTARG ;;
        n) build='' ;;
        *) say "usage: $0 [-p PROJECT] [-n]"; exit 2 ;;
    esac
done
patience=${DEPLOY_TIMEOUT:-180}

compose() { docker compose ${project:+-p "$project"} "$@" < /dev/null; }

# The containers of a service, without those of `docker compose run`; those that run, unless it is told otherwise.
containers() {
    service=$1; shift
    docker ps --quiet --no-trunc --filter "label=com.docker.compose.project=$name" \
        --filter "label=com.docker.compose.service=$service" --filter label=com.docker.compose.oneoff=False "$@"
}

running() { containers "$1" --filter status=running; }

count() { echo "$1" | grep -c . || true; }

# Those lines of the first text that are not in the second.
without() { echo "$1" | grep -vxF "${2:-none}" || true; }

# What a container was made of: its settings, and its image.
made_of() {
    docker inspect --format '{{index .Config.Labels "com.docker.compose.config-hash"}} {{.Image}}' "$1"
}

# Whether the proxy can't find a container of web by that name: what another deployment was about to put in place.
is_left_over() {
    [ -n "$front" ] || return 1
    names="{{with index .NetworkSettings.Networks \"$front\"}}{{range .Aliases}}{{.}} {{end}}{{end}}"
    found=$(docker inspect --format "$names" "$1") || return 1
    case " $found " in
        *' web '*) return 1 ;;
    esac
}

# Have a container in the network of the proxy, anew.
join() {
    id=$1; shift
    docker network disconnect "$front" "$id"
    docker network connect "$@" "$front" "$id"
}

await_health() {
    left=$patience
    for id in $1; do
        until [ "$(docker inspect --format '{{.State.Health.Status}}' "$id")" = healthy ]; do
            left=$((left - 1))
            [ "$left" -gt 0 ] || return 1
            sleep 1
        done
    done
}

# What the proxy says: how many servers take requests.
servers() {
    compose exec -T proxy python -c 'import urllib.request as r; print(r.urlopen("http://127.0.0.1:8405/servers").read().decode())'
}

# The proxy asks for itself who is healthy.
await_proxy() {
    [ -n "$(running proxy)" ] || return 0
    tries=40
    until [ "$(servers 2> /dev/null || echo 0)" -ge "$1" ]; do
        tries=$((tries - 1))
        [ "$tries" -gt 0 ] || { why='the proxy did not find every container of web'; return 1; }
        sleep 0.5
    done
}

# Whatever ends this while the new containers are not yet in use removes them.
give_up() {
    trap '' INT TERM HUP PIPE
    set +e
    for id in $(without "$(containers web --all)" "$before"); do
        say "the last lines of what is new, $id:"
        docker logs --tail 500 "$id" 2>&1 | grep -v '"event": "request"' | tail -n 50 >&2
        docker rm --force "$id" > /dev/null
    done
    say "$why. What is new was removed, and the old version goes on. The next 'docker compose up' would take the new one" \
        "again. So put it right, or give the old image its name back:"
    docker inspect --format 'docker tag {{.Image}} {{.Config.Image}}' "$(echo "$old" | tail -n 1)" >&2
    exit 1
}

name=$(compose config | sed -n 's/^name: "\{0,1\}\([^"]*\)"\{0,1\}$/\1/p')
[ -n "$name" ] || exit 1 # Compose has said why
if command -v flock > /dev/null; then
    exec 9> "${TMPDIR:-/tmp}/$name.deploy.lock"
    flock -n 9 || { say "another deployment of $name is under way"; exit 1; }
fi
[ -z "$build" ] || compose build
front=$(docker network ls --format '{{.Name}}' --filter "label=com.docker.compose.project=$name" \
    --filter label=com.docker.compose.network=front)

# What has stopped would be started again, and counted.
for id in $(containers web --all); do
    state=$(docker inspect --format '{{.State.Status}}' "$id")
    if [ "$state" = created ] || [ "$state" = exited ] || [ "$state" = dead ] || is_left_over "$id"; then
        say "removing $id, which stands still or was left by a deployment that was broken off"
        docker rm --force "$id" > /dev/null
    fi
done
before=$(running web)
old=''
if [ -n "$before" ]; then
    # One that is made and not started tells what a new one would be made of.
    said=$(compose create --no-build --no-recreate --scale "web=$(($(count "$before") + 1))" web 2>&1) ||
        { say "$said"; exit 1; }
    sample=$(without "$(containers web --all)" "$before")
    for id in $before; do
        [ "$(made_of "$id")" = "$(made_of "$sample")" ] || old=$(printf '%s\n%s' "$old" "$id")
    done
    docker rm "$sample" > /dev/null
fi
wanted=$(count "$old")
[ "$wanted" -gt 0 ] || wanted=$(count "$before")

if [ -n "$old" ]; then
    say "starting $wanted new beside $wanted old"
    why='the new version could not be started'
    trap give_up EXIT
    trap 'why="it was broken off"; exit 1' INT TERM HUP
    # Were it replaced together with those that depend on it, Compose would stop them.
    compose up --detach --no-build secrets
    compose create --no-build --no-recreate --scale "web=$(($(count "$old") + wanted))" web
    new=$(without "$(containers web --all)" "$before")
    # Nobody finds it by the name "web" until it is healthy: one that ends in between would take requests along.
    for id in $new; do join "$id"; docker start "$id" > /dev/null; done
    why='the new version did not become healthy'
    await_health "$(without "$(containers web --all)" "$old")"
    why='the proxy could not be led to the new version'
    for id in $new; do join "$id" --alias web; done
    await_proxy "$(count "$(running web)")"
    trap - EXIT INT TERM HUP
    say "stopping the old, which ends what it has begun"
    # shellcheck disable=SC2086 # one word each
    docker stop $old > /dev/null
    # shellcheck disable=SC2086
    docker rm $old > /dev/null
fi

# The rest, with as many containers as there are.
set --
runners=$(count "$(running runner)")
[ "$wanted" -eq 0 ] || set -- --scale "web=$wanted"
[ "$runners" -eq 0 ] || set -- "$@" --scale "runner=$runners"
compose up --detach --no-build --wait --wait-timeout "$patience" "$@"
[ -n "$old" ] || say "web is as it should be"
