"""Stand-ins for the CTK and MRML widgets that scripted modules use.

A stand-in has only public names that the real class has, because a panel that passes here must not use
anything that Slicer lacks.  In PythonQt a C++ widget shows its Q_PROPERTYs, slots, Q_INVOKABLE methods and
signals, and nothing else: `selector.noneEnabled = True` works, `selector.setNoneEnabled(True)` does not.
"""
