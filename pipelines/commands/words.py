"""Words that the help of several commands shares; reading them imports nothing."""

MODEL = "a registered model, NAME[@ALIAS or @VERSION] (default: @champion), or a checkpoint's folder"
ROWS = "a table, a folder of images, an image, or an array of rows"
