"""The PyTorch extension's utilities that install nothing and remember what they were asked for."""

calls: list[dict] = []
installed = False
fails = ""


class PyTorchUtilsLogic:
    """Says whether torch is there and pretends to install it; `fails` is the text of the error it raises."""

    @staticmethod
    def torchInstalled():
        return installed

    def installTorch(
        self,
        askConfirmation=False,
        forceComputationBackend=None,
        torchVersionRequirement=None,
        torchvisionVersionRequirement=None,
    ):
        global installed
        arguments = {key: value for key, value in locals().items() if key != "self"}
        calls.append(arguments)
        if fails:
            raise RuntimeError(fails)
        installed = True
        return object()
