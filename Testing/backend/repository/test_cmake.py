"""The extension configures with CMake, and every file of the package is listed to be installed.

Slicer's own macros are not here: small ones of the same names take their place, which record what they are given
and refuse, as Slicer's do, a listed file that does not exist.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
MODULES = ("KAFSegmentation", "KAFPretrain")
CMAKE = shutil.which("cmake")
pytestmark = pytest.mark.skipif(CMAKE is None, reason="cmake is not installed")

_CONFIG = r"""
set(Slicer_USE_FILE "${CMAKE_CURRENT_LIST_DIR}/UseSlicer.cmake")
set(Slicer_EXTENSION_GENERATE_CONFIG "${CMAKE_CURRENT_LIST_DIR}/GenerateConfig.cmake")
set(Slicer_EXTENSION_CPACK "${CMAKE_CURRENT_LIST_DIR}/CPack.cmake")
set(Slicer_FOUND TRUE)
"""
_USE = r"""
set(Slicer_INSTALL_QTSCRIPTEDMODULES_LIB_DIR lib/Slicer/qt-scripted-modules)
set(BUILD_TESTING ON)
enable_testing()

function(record name)
  foreach(value ${ARGN})
    file(APPEND "${CMAKE_BINARY_DIR}/${name}.txt" "${value}\n")
  endforeach()
endfunction()

function(slicerMacroBuildScriptedModule)
  cmake_parse_arguments(MY "WITH_GENERIC_TESTS;WITH_SUBDIR" "NAME" "SCRIPTS;RESOURCES" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS OR NOT MY_NAME)
    message(FATAL_ERROR "wrong arguments: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  foreach(value ${MY_SCRIPTS} ${MY_RESOURCES})
    if(IS_ABSOLUTE "${value}" OR NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${value}")
      message(FATAL_ERROR "given nonexistent file or directory '${value}'")
    endif()
  endforeach()
  record(scripts-${MY_NAME} ${MY_SCRIPTS})
  record(resources-${MY_NAME} ${MY_RESOURCES})
  record(modules ${MY_NAME})
endfunction()

function(slicer_add_python_unittest)
  cmake_parse_arguments(MY "" "SCRIPT;TESTNAME_PREFIX" "SLICER_ARGS" ${ARGN})
  if(NOT EXISTS "${CMAKE_CURRENT_SOURCE_DIR}/${MY_SCRIPT}")
    message(FATAL_ERROR "no test '${MY_SCRIPT}' in ${CMAKE_CURRENT_SOURCE_DIR}")
  endif()
  record(tests ${MY_SCRIPT})
endfunction()
"""
_CPACK = r"""
foreach(name README_FILE LICENSE_FILE)
  if(NOT EXISTS "${EXTENSION_${name}}")
    message(FATAL_ERROR "error: EXTENSION_${name} points to an inexistent file: ${EXTENSION_${name}}")
  endif()
endforeach()
# As Slicer does: without quotes, so that a semicolon in it would break it into arguments.
function(description)
  cmake_parse_arguments(MY "" "EXTENSION_DESCRIPTION;EXTENSION_HOMEPAGE" "EXTENSION_KEYWORDS;EXTENSION_DEPENDS" ${ARGN})
  if(MY_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "left over: ${MY_UNPARSED_ARGUMENTS}")
  endif()
  file(WRITE "${CMAKE_BINARY_DIR}/description.txt"
    "${PROJECT_NAME}\n${MY_EXTENSION_DEPENDS}\n${MY_EXTENSION_DESCRIPTION}\n")
endfunction()
description(EXTENSION_DESCRIPTION ${EXTENSION_DESCRIPTION} EXTENSION_HOMEPAGE ${EXTENSION_HOMEPAGE}
  EXTENSION_KEYWORDS ${EXTENSION_KEYWORDS} EXTENSION_DEPENDS ${EXTENSION_DEPENDS})
"""


def configure(source: Path, build: Path) -> subprocess.CompletedProcess[str]:
    slicer = build.with_name("slicer")
    slicer.mkdir(exist_ok=True)
    for name, text in (("SlicerConfig", _CONFIG), ("UseSlicer", _USE), ("GenerateConfig", ""), ("CPack", _CPACK)):
        (slicer / f"{name}.cmake").write_text(text, encoding="utf-8")
    # Nothing is compiled: the compilers that project() asks for need not exist.
    forced = [f"-DCMAKE_{language}_COMPILER{what}" for language in ("C", "CXX")
              for what in ("=/bin/true", "_FORCED=ON")]
    return subprocess.run([str(CMAKE), "-S", str(source), "-B", str(build), f"-DSlicer_DIR={slicer}", *forced],
                          capture_output=True, text=True, check=False)


def module_files(folder: Path) -> set[str]:
    """What a person would expect in the package: all but caches, the build's own files and hidden ones."""
    skipped = {"__pycache__", "Testing"}
    return {
        path.relative_to(folder).as_posix() for path in folder.rglob("*")
        if path.is_file() and path.name != "CMakeLists.txt" and path.suffix != ".pyc"
        and not any(part in skipped or part.startswith(".") or part.endswith(".egg-info")
                    for part in path.relative_to(folder).parts)
    }


def lines(build: Path, name: str) -> list[str]:
    return (build / f"{name}.txt").read_text(encoding="utf-8").splitlines()


@pytest.fixture(scope="module")
def build(tmp_path_factory):
    folder = tmp_path_factory.mktemp("extension") / "build"
    done = configure(ROOT, folder)
    assert done.returncode == 0, done.stderr
    return folder


def test_the_modules_of_the_extension(build):
    assert lines(build, "modules") == list(MODULES)


@pytest.mark.parametrize("module", MODULES)
def test_every_file_of_the_module_is_installed_once(build, module):
    listed = lines(build, f"scripts-{module}") + lines(build, f"resources-{module}")
    assert len(listed) == len(set(listed))
    assert set(listed) == module_files(ROOT / module)


@pytest.mark.parametrize("module", MODULES)
def test_only_python_files_are_scripts_and_the_module_is_the_first(build, module):
    scripts = lines(build, f"scripts-{module}")
    assert scripts[0] == f"{module}.py"
    assert all(name.endswith(".py") for name in scripts)
    # Examples travel as they are; everything that is imported gets compiled.
    resources = lines(build, f"resources-{module}")
    assert all(name.startswith("Resources/") for name in resources if name.endswith(".py"))


def test_the_package_keeps_its_folders(build):
    assert "kaf/training/loop.py" in lines(build, "scripts-KAFSegmentation")


@pytest.mark.parametrize("module", MODULES)
def test_the_one_python_file_beside_the_module_is_itself(build, module):
    """Slicer takes each .py directly in a module folder for a module."""
    assert [name for name in lines(build, f"scripts-{module}") if "/" not in name] == [f"{module}.py"]


def test_packages_of_two_modules_have_different_names(build):
    """All modules of an extension are installed into one folder."""
    packages = [{name.split("/")[0] for name in lines(build, f"scripts-{module}")} for module in MODULES]
    assert not set.intersection(*packages)


def test_the_description_is_that_of_the_catalog(build):
    name, depends, description = lines(build, "description")
    assert (name, depends) == ("KAFSegmentation", "PyTorch")
    assert "CC BY-NC-SA" in description


def test_the_tests_for_a_real_slicer_are_registered(build):
    assert set(lines(build, "tests")) >= {"KAFSegmentation.py", "KAFPretrain.py", "KAFSegmentationTest.py"}


def test_a_new_file_is_picked_up_by_itself(tmp_path):
    source = copied(tmp_path)
    (source / "KAFSegmentation" / "kaf" / "training" / "brand_new.py").touch()
    (source / "KAFSegmentation" / "kaf" / "models" / "mine.safetensors").touch()
    assert configure(source, tmp_path / "build").returncode == 0
    assert "kaf/training/brand_new.py" in lines(tmp_path / "build", "scripts-KAFSegmentation")
    assert "kaf/models/mine.safetensors" in lines(tmp_path / "build", "resources-KAFSegmentation")


def test_a_missing_module_file_stops_the_build(tmp_path):
    source = copied(tmp_path)
    (source / "KAFSegmentation" / "KAFSegmentation.py").unlink()
    assert "nonexistent" in configure(source, tmp_path / "build").stderr


def copied(folder: Path) -> Path:
    """The extension with its files emptied, which CMake does not mind."""
    source = folder / "source"
    for name in ("CMakeLists.txt", *(f"{module}/CMakeLists.txt" for module in MODULES), "Testing/CMakeLists.txt",
                 "Testing/Python/CMakeLists.txt"):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, source / name)
    for name in ("README.md", "LICENSE", "Testing/Python/KAFSegmentationTest.py",
                 *(f"{module}/{file}" for module in MODULES for file in module_files(ROOT / module))):
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).touch()
    (source / "KAFSegmentation" / "kaf" / "models").mkdir(parents=True, exist_ok=True)
    return source
