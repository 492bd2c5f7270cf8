import os
import time

import gitlab

gl = gitlab.Gitlab(os.environ["GITLAB_URL"], private_token=os.environ["GITLAB_TOKEN"])
project = gl.projects.get("group/app", lazy=True)

export = project.exports.create()
export.refresh()
while export.export_status != "finished":
    time.sleep(1)
    export.refresh()
with open("app.tar.gz", "wb") as f:
    export.download(streamed=True, action=f.write)

with open("app.tar.gz", "rb") as f:
    output = gl.projects.import_project(
        f, path="app", namespace="new-team", override_params={"visibility": "private"}
    )
project_import = gl.projects.get(output["id"], lazy=True).imports.get()
while project_import.import_status != "finished":
    time.sleep(1)
    project_import.refresh()
