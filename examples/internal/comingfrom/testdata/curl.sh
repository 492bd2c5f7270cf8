set -eu
url=$GITLAB_URL token="PRIVATE-TOKEN: $GITLAB_TOKEN"

curl --fail --header "$token" --request POST "$url/api/v4/projects/group%2Fapp/export"
until curl --fail --header "$token" "$url/api/v4/projects/group%2Fapp/export" | grep -q '"export_status":"finished"'; do
	sleep 1
done
curl --fail --header "$token" --location --output app.tar.gz "$url/api/v4/projects/group%2Fapp/export/download"

id=$(curl --fail --header "$token" --form path=app --form namespace=new-team --form "override_params[visibility]=private" \
	--form file=@app.tar.gz "$url/api/v4/projects/import" | grep -o '^{"id":[0-9]*' | tr -dc 0-9)
until curl --fail --header "$token" "$url/api/v4/projects/$id/import" | grep -q '"import_status":"finished"'; do
	sleep 1
done
