// The types of the functions this package opens with dlsym, taken from the library's own headers. Nothing here is linked.
#ifndef VPNHA_CLIBXML2_H
#define VPNHA_CLIBXML2_H
#include <libxml/parser.h>
#include <libxml/relaxng.h>
#include <libxml/tree.h>
#include <libxml/valid.h>
#include <libxml/xmlwriter.h>

typedef __typeof__(&xmlBufferCreate) clibxml2_BufferCreate;
typedef __typeof__(&xmlBufferContent) clibxml2_BufferContent;
typedef __typeof__(&xmlBufferLength) clibxml2_BufferLength;
typedef __typeof__(&xmlBufferFree) clibxml2_BufferFree;
typedef __typeof__(&xmlNewTextWriterMemory) clibxml2_NewTextWriterMemory;
typedef __typeof__(&xmlFreeTextWriter) clibxml2_FreeTextWriter;
typedef __typeof__(&xmlTextWriterSetIndent) clibxml2_TextWriterSetIndent;
typedef __typeof__(&xmlTextWriterStartDocument) clibxml2_TextWriterStartDocument;
typedef __typeof__(&xmlTextWriterEndDocument) clibxml2_TextWriterEndDocument;
typedef __typeof__(&xmlTextWriterWriteDTD) clibxml2_TextWriterWriteDTD;
typedef __typeof__(&xmlTextWriterStartElement) clibxml2_TextWriterStartElement;
typedef __typeof__(&xmlTextWriterEndElement) clibxml2_TextWriterEndElement;
typedef __typeof__(&xmlTextWriterWriteElement) clibxml2_TextWriterWriteElement;
typedef __typeof__(&xmlTextWriterWriteAttribute) clibxml2_TextWriterWriteAttribute;
typedef __typeof__(&xmlTextWriterWriteString) clibxml2_TextWriterWriteString;

typedef __typeof__(&xmlReadMemory) clibxml2_ReadMemory;
typedef __typeof__(&xmlFreeDoc) clibxml2_FreeDoc;
typedef __typeof__(&xmlSetStructuredErrorFunc) clibxml2_SetStructuredErrorFunc;
typedef __typeof__(&xmlNewValidCtxt) clibxml2_NewValidCtxt;
typedef __typeof__(&xmlFreeValidCtxt) clibxml2_FreeValidCtxt;
typedef __typeof__(&xmlValidateDocument) clibxml2_ValidateDocument;
typedef __typeof__(&xmlRelaxNGNewMemParserCtxt) clibxml2_RelaxNGNewMemParserCtxt;
typedef __typeof__(&xmlRelaxNGFreeParserCtxt) clibxml2_RelaxNGFreeParserCtxt;
typedef __typeof__(&xmlRelaxNGParse) clibxml2_RelaxNGParse;
typedef __typeof__(&xmlRelaxNGFree) clibxml2_RelaxNGFree;
typedef __typeof__(&xmlRelaxNGNewValidCtxt) clibxml2_RelaxNGNewValidCtxt;
typedef __typeof__(&xmlRelaxNGFreeValidCtxt) clibxml2_RelaxNGFreeValidCtxt;
typedef __typeof__(&xmlRelaxNGValidateDoc) clibxml2_RelaxNGValidateDoc;
#endif
