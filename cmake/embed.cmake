# embed.cmake - the demo page inside the binary.
#
# assets() turns web/* and the bundled pusher-js into one C file of byte arrays, a row of the
# table in src/serve/assets.h each, and adds it to the serve library.  With NO_DEMO the table
# is empty.

function(embed_file path file index arrays_name rows_name)
  set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${file})
  get_filename_component(extension ${file} LAST_EXT)
  set(type_.html "text/html; charset=utf-8")
  set(type_.css "text/css; charset=utf-8")
  set(type_.js "text/javascript; charset=utf-8")
  set(type_.svg "image/svg+xml")
  if(NOT DEFINED type_${extension})
    message(FATAL_ERROR "${file}: no content type for ${extension}")
  endif()
  file(SIZE ${file} size)
  file(READ ${file} hex HEX)
  string(REGEX REPLACE "(................................)" "\\1\n" hex "${hex}")
  string(REGEX REPLACE "([0-9a-f][0-9a-f])" "0x\\1," hex "${hex}")
  set(array "static const unsigned char bytes_${index}[] = {\n${hex}};\n\n")
  set(row "    {\"${path}\", \"${type_${extension}}\", bytes_${index}, ${size}},\n")
  set(${arrays_name} "${${arrays_name}}${array}" PARENT_SCOPE)
  set(${rows_name} "${${rows_name}}${row}" PARENT_SCOPE)
endfunction()

function(assets)
  set(pusher_js ${CMAKE_SOURCE_DIR}/node_modules/pusher-js/dist/web)
  set(arrays "")
  set(rows "")
  if(NOT NO_DEMO)
    if(NOT EXISTS ${pusher_js}/pusher.min.js)
      message(FATAL_ERROR "pusher-js is missing: run dev/setup build, or configure with -DNO_DEMO=ON")
    endif()
    set(web ${CMAKE_SOURCE_DIR}/web)
    embed_file("/" ${web}/index.html 0 arrays rows)
    embed_file("/demo.css" ${web}/demo.css 1 arrays rows)
    embed_file("/demo.js" ${web}/demo.js 2 arrays rows)
    embed_file("/icon.svg" ${web}/icon.svg 3 arrays rows)
    embed_file("/pusher.min.js" ${pusher_js}/pusher.min.js 4 arrays rows)
  endif()
  set(generated ${CMAKE_BINARY_DIR}/assets_table.c)
  file(CONFIGURE OUTPUT ${generated} @ONLY CONTENT
"/* Made by cmake/embed.cmake. */
#include \"base/base.h\"

#include \"serve/assets.h\"

@arrays@const struct asset assets_table[] = {
@rows@    {NULL, NULL, NULL, 0},
};
")
  target_sources(serve PRIVATE ${generated})
endfunction()
