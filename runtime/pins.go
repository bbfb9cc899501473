package runtime

// pins holds the sha256 of every archive of DefaultVersion that Install may download. The archive is checked before a byte
// of it is unpacked. The npm package was downloaded and hashed; the wheels' sums are the package index's, compared with what
// pip reports; those of the GitHub release are the ones that several other projects pin for the same files, and no download
// of ours has confirmed them.
var pins = map[string]string{
	"onnxruntime-linux-x64-1.30.0.tgz":            "a5ed5a3cac51fbb2e90da632ae43d19212faaa20e76484e62bcb7c23ddb3b3fd",
	"onnxruntime-linux-aarch64-1.30.0.tgz":        "e16a27a8ed330bbc698df7330b0cf56e722f354e3bcc92118682c74ef3c3e3da",
	"onnxruntime-osx-arm64-1.30.0.tgz":            "6ebb5062a934537c352937821f9fe9718e7de1a2db1122a93dd363ffd53a7012",
	"onnxruntime-win-x64-1.30.0.zip":              "c6ba983baf5681af108599675d2a89c2d145512d02de28aed0bff177cd0ba949",
	"onnxruntime-win-arm64-1.30.0.zip":            "e53db8a50b23ae35be901cc93428baf997dc8d420333b097b2eae53d3ea9f2d3",
	"onnxruntime-linux-x64-gpu_cuda13-1.30.0.tgz": "382d79133112388cf94ce5855789b7c9bef12bef76a08b6b277e5a317213adcd",
	"onnxruntime-win-x64-gpu_cuda13-1.30.0.zip":   "8fa4b08359af682cd605892cb59077049700b640128bb93fd2c7776cf9f55bdc",

	"onnxruntime-node-1.30.0.tgz": "6e3390d6b783e7be946fad629292799da28d0b42f84856e50d2c1b0383291e75",

	"onnxruntime-1.30.0-cp312-cp312-manylinux_2_28_x86_64.whl":     "fa688e7891a6aa206636fe7372e27ee75fd17713289f6b4fc7b190e0a7de9328",
	"onnxruntime-1.30.0-cp312-cp312-manylinux_2_28_aarch64.whl":    "6c32a000d5139a38ba9349030b0032e3331acb559d596b22738d9d2b343a2b83",
	"onnxruntime-1.30.0-cp312-cp312-macosx_14_0_arm64.whl":         "001ed726c9bd5e2bc92faade7d37d889e9606a350b7d5529f0227df2e3bb57fd",
	"onnxruntime-1.30.0-cp312-cp312-win_amd64.whl":                 "f3501472571f1b1eee50e017851e7929f5ea37312d2d8c2494a19e8fc58b4a38",
	"onnxruntime-1.30.0-cp312-cp312-win_arm64.whl":                 "dc4c706f1935ebb62356e6a095b047859badd854482c40560888e95c328ed262",
	"onnxruntime_gpu-1.30.0-cp312-cp312-manylinux_2_28_x86_64.whl": "6acc0f4b3d5ac5f2984432faa59dd8fcce6775f8b43a7140afa0f322c7a703b1",
	"onnxruntime_gpu-1.30.0-cp312-cp312-win_amd64.whl":             "882da66f936e1f560b155118c5953dc45268cd92893abb8d31a940f4d1effb36",
}
