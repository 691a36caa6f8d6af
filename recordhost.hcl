runtime "local" "here" {}
storage "blob" "files" {}
