"""The module `ctk` of Slicer's Python: the CTK widgets that this host has stand-ins for."""

from host.widgets.declare import standIns

globals().update({name: cls for name, cls in standIns().items() if name.startswith("ctk")})
