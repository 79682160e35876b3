#!/bin/sh
# Prints .env.example with fresh secrets in the places that need one:
#   sh deploy/new-env.sh > .env
# What only you know (TIKTOK_CLIENT_KEY, TIKTOK_CLIENT_SECRET, CONNECT_BASE_URL) stays empty.
set -eu

random() {
  head -c "$1" /dev/urandom | base64 | tr -d '\n' | tr '+/' '-_'
}

while IFS= read -r line; do
  case $line in
    # Fernet keys: 32 bytes, base64 for URLs, with the padding.
    TIKTOK_TOKEN_KEYS= | AIRFLOW_FERNET_KEY=) line=$line$(random 32) ;;
    AIRFLOW_JWT_SECRET= | AIRFLOW_API_SECRET_KEY= | CONNECT_SECRET=) line=$line$(random 48) ;;
    # Passwords stand in URLs: letters, digits, - and _ only.
    *_PASSWORD=) line=$line$(random 24) ;;
  esac
  printf '%s\n' "$line"
done <"$(dirname "$0")/../.env.example"
